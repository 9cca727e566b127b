package spec

import (
	"fmt"
	"slices"
	"strings"
)

// order puts every node behind the ones it refers to. Those in a cycle are
// tainted and reported: one mistake per knot, with one whole way around.
func order(nodes []*node, rep *report) []*node {
	t := &tarjan{index: map[*node]int{}, low: map[*node]int{}, waiting: map[*node]bool{}}
	for _, n := range nodes {
		if t.index[n] == 0 {
			t.visit(n)
		}
	}
	var out []*node
	for _, knot := range t.knots {
		if cycle := around(knot); cycle != nil {
			reportCycle(cycle, rep)
			for _, n := range knot {
				n.tainted = true
			}
		}
		out = append(out, knot...)
	}
	return out
}

// tarjan finds strongly connected components, dependencies first.
type tarjan struct {
	index, low map[*node]int // from 1
	waiting    map[*node]bool
	stack      []*node
	knots      [][]*node
}

func (t *tarjan) visit(n *node) {
	t.index[n] = len(t.index) + 1
	t.low[n] = t.index[n]
	t.stack = append(t.stack, n)
	t.waiting[n] = true
	for _, e := range n.edges {
		if t.index[e.to] == 0 {
			t.visit(e.to)
			t.low[n] = min(t.low[n], t.low[e.to])
		} else if t.waiting[e.to] {
			t.low[n] = min(t.low[n], t.index[e.to])
		}
	}
	if t.low[n] != t.index[n] {
		return
	}
	from := slices.Index(t.stack, n)
	knot := slices.Clone(t.stack[from:])
	t.stack = t.stack[:from]
	for _, n := range knot {
		t.waiting[n] = false
	}
	t.knots = append(t.knots, knot)
}

// step is one reference on the way around a cycle.
type step struct {
	from *node
	edge
}

// around finds the shortest way from a knot's first node back to itself, or nil.
func around(knot []*node) []step {
	start := slices.MinFunc(knot, func(a, b *node) int { return strings.Compare(string(a.address()), string(b.address())) })
	came := map[*node]step{}
	for queue := []*node{start}; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		for _, e := range n.edges {
			if e.to == start {
				return wayBack(start, came, step{n, e})
			}
			if _, seen := came[e.to]; !seen && slices.Contains(knot, e.to) {
				came[e.to] = step{n, e}
				queue = append(queue, e.to)
			}
		}
	}
	return nil
}

func wayBack(start *node, came map[*node]step, last step) []step {
	steps := []step{last}
	for n := last.from; n != start; n = came[n].from {
		steps = append(steps, came[n])
	}
	slices.Reverse(steps)
	return steps
}

func reportCycle(cycle []step, rep *report) {
	first := cycle[0]
	if len(cycle) == 1 {
		rep.fail(first.at, "Reference to itself", "%s refers to itself, so it can never be evaluated.%s", first.from.address(), selfHint(first.from))
		return
	}
	var lines []string
	for _, s := range cycle {
		lines = append(lines, fmt.Sprintf("  %s refers to %s at %s", s.from.address(), s.to.address(), place(s.at)))
	}
	rep.fail(first.at, "Cycle of references", "Each of these waits for the next, so none can come first:\n%s\nTake one of these references out.", strings.Join(lines, "\n"))
}

func selfHint(n *node) string {
	if n.kind == "vm" {
		return " Instances of one block cannot refer to each other, either. Put the value in a locals block, and refer to that in both places."
	}
	return " Write the value itself."
}
