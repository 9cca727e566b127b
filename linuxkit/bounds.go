package linuxkit

import (
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Bounds of a template, far above what people write. They stop aliases that
// multiply, or that stand for themselves.
const (
	maxNodes = 100_000
	maxDepth = 100
)

// checkSize measures a document with its aliases written out.
func checkSize(document *yaml.Node) error {
	sizes := map[*yaml.Node]int{}
	var measure func(node *yaml.Node, depth int) (int, error)
	measure = func(node *yaml.Node, depth int) (int, error) {
		if depth > maxDepth {
			return 0, fmt.Errorf("line %d: values are nested more than %d deep, or an alias stands for itself", node.Line, maxDepth)
		}
		if node.Kind == yaml.AliasNode {
			return measure(node.Alias, depth+1)
		}
		if size, known := sizes[node]; known {
			return size, nil
		}
		size := 1
		for _, child := range node.Content {
			n, err := measure(child, depth+1)
			if err != nil {
				return 0, err
			}
			size = min(size+n, maxNodes+1)
		}
		sizes[node] = size
		return size, nil
	}
	size, err := measure(document, 0)
	if err == nil && size > maxNodes {
		err = errors.New("aliases multiply it to more than 100000 values")
	}
	return err
}
