package planner

import (
	"container/heap"
	"slices"
)

// topological orders the nodes that exist, so that each comes behind those in
// its before list, and otherwise by number. It returns the lists it obeyed:
// without nodes that do not exist, and with cycles broken.
//
// Only what was applied can have cycles, because its parts may come from
// different versions of the stack files. Within a cycle, a node waits only for
// lower numbers.
func topological(before [][]int, exists func(int) bool) (order []int, obeyed [][]int) {
	obeyed = make([][]int, len(before))
	nodes := make([]int, 0, len(before))
	for n := range before {
		if !exists(n) {
			continue
		}
		nodes = append(nodes, n)
		for _, b := range before[n] {
			if exists(b) {
				obeyed[n] = append(obeyed[n], b)
			}
		}
	}
	if order = peel(nodes, obeyed); len(order) == len(nodes) {
		return order, obeyed
	}
	cycle := components(nodes, obeyed)
	for _, n := range nodes {
		obeyed[n] = slices.DeleteFunc(obeyed[n], func(b int) bool { return cycle[b] == cycle[n] && b >= n })
	}
	return peel(nodes, obeyed), obeyed
}

// peel is Kahn's algorithm: it takes the lowest node of those that wait for
// nothing, again and again. Nodes of a cycle, and behind one, are left out.
func peel(nodes []int, before [][]int) []int {
	waits := make([]int, len(before))
	behind := make([][]int, len(before))
	free := &lowest{}
	for _, n := range nodes {
		waits[n] = len(before[n])
		for _, b := range before[n] {
			behind[b] = append(behind[b], n)
		}
		if waits[n] == 0 {
			*free = append(*free, n)
		}
	}
	heap.Init(free)
	order := make([]int, 0, len(nodes))
	for free.Len() > 0 {
		n := heap.Pop(free).(int)
		order = append(order, n)
		for _, b := range behind[n] {
			if waits[b]--; waits[b] == 0 {
				heap.Push(free, b)
			}
		}
	}
	return order
}

// lowest is a heap of numbers.
type lowest []int

func (l *lowest) Len() int           { return len(*l) }
func (l *lowest) Less(i, j int) bool { return (*l)[i] < (*l)[j] }
func (l *lowest) Swap(i, j int)      { (*l)[i], (*l)[j] = (*l)[j], (*l)[i] }
func (l *lowest) Push(x any)         { *l = append(*l, x.(int)) }

func (l *lowest) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}

// components is Tarjan's algorithm: two nodes get the same number if and only
// if they lie on a common cycle.
func components(nodes []int, before [][]int) []int {
	t := tarjan{
		before:  before,
		index:   make([]int, len(before)),
		low:     make([]int, len(before)),
		stacked: make([]bool, len(before)),
		number:  make([]int, len(before)),
	}
	for _, n := range nodes {
		if t.index[n] == 0 {
			t.visit(n)
		}
	}
	return t.number
}

type tarjan struct {
	before     [][]int
	index, low []int // index 0: not visited yet
	stack      []int
	stacked    []bool
	visited    int
	number     []int
	found      int
}

func (t *tarjan) visit(n int) {
	t.visited++
	t.index[n], t.low[n] = t.visited, t.visited
	t.stack, t.stacked[n] = append(t.stack, n), true
	for _, b := range t.before[n] {
		if t.index[b] == 0 {
			t.visit(b)
			t.low[n] = min(t.low[n], t.low[b])
		} else if t.stacked[b] {
			t.low[n] = min(t.low[n], t.index[b])
		}
	}
	if t.low[n] != t.index[n] {
		return
	}
	t.found++
	for {
		last := t.stack[len(t.stack)-1]
		t.stack, t.stacked[last] = t.stack[:len(t.stack)-1], false
		t.number[last] = t.found
		if last == n {
			return
		}
	}
}
