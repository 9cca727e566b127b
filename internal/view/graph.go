package view

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/lkup/lkup/spec"
)

// Graph is what a stack consists of and what depends on what.
type Graph struct {
	Stack string      `json:"stack"`
	Nodes []GraphNode `json:"nodes"` // sorted by address
	Edges []GraphEdge `json:"edges"` // sorted by From, To
}

// GraphNode is a machine, an image, a template, a volume or a network.
type GraphNode struct {
	Address spec.Address `json:"address"`
	Kind    string       `json:"kind"`
}

// GraphEdge says that From needs To.
type GraphEdge struct {
	From spec.Address `json:"from"`
	To   spec.Address `json:"to"`
	Kind string       `json:"kind"` // depends_on, image, mount or network
}

// GraphOf draws a stack.
func GraphOf(s *spec.Stack) Graph {
	g := Graph{Stack: s.Name, Nodes: []GraphNode{}, Edges: []GraphEdge{}}
	for a, img := range s.Images {
		kind := "image"
		if img.Template != nil {
			kind = "template"
		}
		g.Nodes = append(g.Nodes, GraphNode{a, kind})
	}
	for a := range s.Volumes {
		g.Nodes = append(g.Nodes, GraphNode{a, "volume"})
	}
	for a := range s.Networks {
		g.Nodes = append(g.Nodes, GraphNode{a, "network"})
	}
	for a, vm := range s.VMs {
		g.Nodes = append(g.Nodes, GraphNode{a, "vm"})
		g.Edges = append(g.Edges, GraphEdge{a, vm.Image, "image"})
		for _, m := range vm.Mounts {
			g.Edges = append(g.Edges, GraphEdge{a, m.Volume, "mount"})
		}
		for _, n := range vm.Networks {
			g.Edges = append(g.Edges, GraphEdge{a, n.Network, "network"})
		}
		for _, dep := range vm.DependsOn {
			g.Edges = append(g.Edges, GraphEdge{a, dep, "depends_on"})
		}
	}
	slices.SortFunc(g.Nodes, func(a, b GraphNode) int { return cmp.Compare(a.Address, b.Address) })
	slices.SortFunc(g.Edges, func(a, b GraphEdge) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return g
}

// JSON prints the graph for programs.
func (g Graph) JSON(w io.Writer) error {
	return writeJSON(w, struct {
		FormatVersion string `json:"format_version"`
		Graph
	}{FormatVersion, g})
}

// dotShapes are how Graphviz draws each kind.
var dotShapes = map[string]string{"vm": "box", "image": "note", "template": "component", "volume": "cylinder", "network": "hexagon"}

// Dot prints the graph in Graphviz's language. Its quoted strings know one
// escape, of the quote (https://graphviz.org/doc/info/lang.html).
func (g Graph) Dot(w io.Writer) error {
	quote := func(text string) string {
		return `"` + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), `"`, `\"`) + `"`
	}
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n  rankdir = LR\n", quote(g.Stack))
	for _, n := range g.Nodes {
		fmt.Fprintf(&b, "  %s [shape = %s]\n", quote(string(n.Address)), dotShapes[n.Kind])
	}
	for _, e := range g.Edges {
		style := ""
		if e.Kind != "depends_on" {
			style = " [style = dashed]"
		}
		fmt.Fprintf(&b, "  %s -> %s%s\n", quote(string(e.From)), quote(string(e.To)), style)
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// mermaidShapes are how Mermaid draws each kind: what stands around a text.
var mermaidShapes = map[string][2]string{"vm": {"[", "]"}, "image": {"(", ")"}, "template": {"[[", "]]"}, "volume": {"[(", ")]"}, "network": {"{{", "}}"}}

// Mermaid prints the graph as a Mermaid flowchart, for Markdown.
func (g Graph) Mermaid(w io.Writer) error {
	ids := map[spec.Address]string{}
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for n, node := range g.Nodes {
		ids[node.Address] = "n" + strconv.Itoa(n)
		shape := mermaidShapes[node.Kind]
		text := strings.ReplaceAll(string(node.Address), `"`, "#quot;")
		fmt.Fprintf(&b, "  %s%s\"%s\"%s\n", ids[node.Address], shape[0], text, shape[1])
	}
	for _, e := range g.Edges {
		arrow := "-->"
		if e.Kind != "depends_on" {
			arrow = "-.->"
		}
		fmt.Fprintf(&b, "  %s %s %s\n", ids[e.From], arrow, ids[e.To])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// addresses lists the keys of a map by text.
func addresses[V any](all map[spec.Address]V) []spec.Address {
	return slices.Sorted(maps.Keys(all))
}
