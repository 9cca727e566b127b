package planner

import (
	"slices"

	"github.com/lkup/lkup/spec"
)

// halves lists the phases of each action.
var halves = map[Action][]Phase{
	NoOp:    nil,
	Create:  {Up},
	Start:   {Up},
	Update:  {Record},
	Restart: {Down, Up},
	Replace: {Down, Up},
	Stop:    {Down},
	Delete:  {Down},
}

// order turns steps into ops and puts them into an order that can be executed
// from first to last:
//
//   - what depends on a VM goes down before it, and up after it;
//   - a VM goes down before it goes up;
//   - whoever holds a host port goes down before another takes it.
func order(steps []Step, now Inventory) []Op {
	g := newGraph(steps)
	g.downInOrder(steps)
	g.upInOrder(steps)
	g.portsInOrder(steps, now)
	return g.sorted()
}

// node is an op before its place is known.
type node struct {
	step  int
	phase Phase
	after []int // nodes
}

type graph struct {
	nodes    []node
	down, up map[spec.Address]int // nodes by VM
}

func newGraph(steps []Step) *graph {
	g := &graph{down: map[spec.Address]int{}, up: map[spec.Address]int{}}
	for i, step := range steps {
		for _, phase := range halves[step.Action] {
			switch phase {
			case Down:
				g.down[step.Address] = len(g.nodes)
			case Up:
				g.up[step.Address] = len(g.nodes)
			case Record:
			}
			g.nodes = append(g.nodes, node{step: i, phase: phase})
		}
		if d, u, both := g.pair(step.Address); both {
			g.edge(d, u)
		}
	}
	return g
}

func (g *graph) pair(a spec.Address) (down, up int, both bool) {
	down, goesDown := g.down[a]
	up, goesUp := g.up[a]
	return down, up, goesDown && goesUp
}

// edge makes later wait for earlier.
func (g *graph) edge(earlier, later int) {
	g.nodes[later].after = append(g.nodes[later].after, earlier)
}

// downInOrder stops dependents first, as the applied specs say who depends on
// whom. Those may come from different applies and so form a cycle, in which
// case the edge that would close it is left out.
func (g *graph) downInOrder(steps []Step) {
	depends := map[spec.Address][]spec.Address{}
	for _, step := range steps {
		if _, goes := g.down[step.Address]; goes {
			depends[step.Address] = step.Have.DependsOn
		}
	}
	const visiting, done = 1, 2
	mark := map[spec.Address]int{}
	var visit func(spec.Address)
	visit = func(a spec.Address) {
		mark[a] = visiting
		for _, dependency := range depends[a] {
			goes, found := g.down[dependency]
			if !found || mark[dependency] == visiting {
				continue
			}
			g.edge(g.down[a], goes)
			if mark[dependency] == 0 {
				visit(dependency)
			}
		}
		mark[a] = done
	}
	for _, step := range steps {
		if _, goes := g.down[step.Address]; goes && mark[step.Address] == 0 {
			visit(step.Address)
		}
	}
}

// upInOrder starts dependencies first. The wanted specs have no cycle.
func (g *graph) upInOrder(steps []Step) {
	for _, step := range steps {
		later, goes := g.up[step.Address]
		if !goes {
			continue
		}
		for _, dependency := range step.Want.DependsOn {
			if earlier, found := g.up[dependency]; found {
				g.edge(earlier, later)
			}
		}
	}
}

// portsInOrder frees host ports before others take them.
func (g *graph) portsInOrder(steps []Step, now Inventory) {
	type key struct {
		host     int
		protocol string
	}
	type holder struct {
		node    int
		step    int
		address string
	}
	holders := map[key][]holder{}
	for i, step := range steps {
		n, goes := g.down[step.Address]
		if !goes {
			continue
		}
		hold := func(address string, host int, protocol string) {
			holders[key{host, protocol}] = append(holders[key{host, protocol}], holder{n, i, address})
		}
		for _, p := range step.Have.Ports {
			hold(p.Address, p.Host, p.Protocol)
		}
		for _, p := range now[step.Address].Status.Ports {
			hold(p.Address, p.Host, p.Protocol)
		}
	}
	for i, step := range steps {
		n, goes := g.up[step.Address]
		if !goes {
			continue
		}
		for _, p := range step.Want.Ports {
			for _, h := range holders[key{p.Host, p.Protocol}] {
				if h.step != i && overlap(h.address, p.Address) {
					g.edge(h.node, n)
				}
			}
		}
	}
}

// overlap reports whether binding both addresses to one port would collide.
func overlap(a, b string) bool {
	return a == b || anyAddress(a) || anyAddress(b)
}

func anyAddress(a string) bool { return a == "0.0.0.0" || a == "::" || a == "" }

// sorted puts the nodes into a deterministic order in which each stands behind
// all it waits for: as early as possible, ties by address.
func (g *graph) sorted() []Op {
	level := make([]int, len(g.nodes))
	var depth func(n int) int
	depth = func(n int) int {
		if level[n] > 0 {
			return level[n]
		}
		deepest := 0
		for _, earlier := range g.nodes[n].after {
			deepest = max(deepest, depth(earlier))
		}
		level[n] = deepest + 1
		return level[n]
	}
	places := make([]int, len(g.nodes))
	for n := range g.nodes {
		depth(n)
		places[n] = n
	}
	slices.SortStableFunc(places, func(a, b int) int { return level[a] - level[b] })
	index := make([]int, len(g.nodes))
	for i, n := range places {
		index[n] = i
	}
	var ops []Op
	for _, n := range places {
		var after []int
		for _, earlier := range g.nodes[n].after {
			after = append(after, index[earlier])
		}
		slices.Sort(after)
		ops = append(ops, Op{Step: g.nodes[n].step, Phase: g.nodes[n].phase, After: slices.Compact(after)})
	}
	return ops
}
