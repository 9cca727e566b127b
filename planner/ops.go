package planner

import (
	"fmt"
	"slices"

	"github.com/lkup/lkup/spec"
)

// schedule turns steps into ops. It blocks the steps that cannot be done: they
// come back as NoOp with a reason.
func schedule(steps []Step, inventory Inventory) []Op {
	s := &scheduler{
		steps:     steps,
		inventory: inventory,
		index:     make(map[spec.Address]int, len(steps)),
		after:     make([][]int, len(steps)*len(phases)),
	}
	for i := range steps {
		s.index[steps[i].Address] = i
	}
	s.holders = s.portHolders()
	s.volumes = volumeHolders(inventory)
	s.blockHeldPorts()
	for i := range steps {
		s.link(i)
	}
	s.spreadBlocks()
	return s.ops()
}

// scheduler orders the halves of steps. A node is a half that there is or
// could be: step*3 + phase.
type scheduler struct {
	steps     []Step
	inventory Inventory
	index     map[spec.Address]int
	holders   holders
	volumes   map[spec.Address][]spec.Address // who may run with a volume now
	after     [][]int                         // node -> nodes that come before it
	started   map[[2]int]bool                 // of those, {before, after} where before need only have started its machine
}

var phases = [...]Phase{Down, Record, Up}

func node(step int, phase Phase) int { return step*len(phases) + slices.Index(phases[:], phase) }

// has reports whether a step has a half. A blocked step counts as having both,
// because nobody knows which it would need; the ops leave it out in the end.
func (s *scheduler) has(step int, phase Phase) bool {
	if s.steps[step].Blocked != "" {
		return phase != Record
	}
	return s.steps[step].has(phase)
}

// has reports whether a step has a half.
func (s Step) has(phase Phase) bool {
	switch s.Action {
	case Create:
		return phase == Up
	case Start:
		return phase == Up || phase == Down && s.Live
	case Restart, Replace:
		return phase == Down || phase == Up
	case Stop, Delete:
		return phase == Down
	case Update:
		return (phase == Record) != s.Live
	case Forget:
		return phase == Record
	case NoOp:
		return false
	default:
		panic("planner: no such action: " + string(s.Action))
	}
}

// Withdraws reports whether an op is the part of a live change that takes away
// ports: it is nothing of its own to tell of, unless it fails.
func (s Step) Withdraws(phase Phase) bool { return s.Live && phase == Down }

// frees reports whether a step's Down gives up a host port.
func (s *scheduler) frees(step int, p spec.Port) bool {
	if !s.has(step, Down) {
		return false
	}
	if !s.steps[step].Live {
		return true
	}
	keeps := holders{hostPort{p.Protocol, p.Host}: nil}
	i := s.inventory[s.steps[step].Address]
	for _, own := range i.Own {
		keeps.add(i.Address, hostPort{own.Protocol, own.Host}, own.Address)
	}
	for _, q := range s.steps[step].Want.Ports {
		keeps.add(i.Address, hostPort{q.Protocol, q.Host}, q.Address)
	}
	kept := false
	keeps.of(p, func(spec.Address) { kept = true })
	return !kept
}

// portHolders looks who holds the ports that steps take. Who holds others does
// not matter.
func (s *scheduler) portHolders() holders {
	h := holders{}
	for i := range s.steps {
		if s.takesPorts(i) {
			for _, p := range s.steps[i].Want.Ports {
				h[hostPort{p.Protocol, p.Host}] = nil
			}
		}
	}
	if len(h) == 0 {
		return h
	}
	for a := range s.inventory {
		h.hold(s.inventory[a])
	}
	return h
}

// takesPorts reports whether a step ends with a running machine that its op started.
func (s *scheduler) takesPorts(step int) bool {
	return s.has(step, Up) && s.steps[step].Want != nil && s.steps[step].Want.Running
}

// blockHeldPorts blocks steps that need a host port of somebody who runs, or
// may run, and is not stopped by this plan.
func (s *scheduler) blockHeldPorts() {
	for i := range s.steps {
		step := &s.steps[i]
		if step.Blocked != "" || !s.takesPorts(i) {
			continue
		}
		for _, p := range step.Want.Ports {
			if by := s.keeper(step.Address, p); by != "" {
				s.block(i, fmt.Sprintf("host port %s is held by %s, which this plan leaves alone", hostPortText(p.Address, p.Host), by))
				break
			}
		}
	}
}

// keeper is the first, by address, who keeps a port that another one needs.
func (s *scheduler) keeper(needs spec.Address, p spec.Port) spec.Address {
	var keeper spec.Address
	s.holders.of(p, func(by spec.Address) {
		step, planned := s.index[by]
		stops := planned && s.frees(step, p)
		if by != needs && !stops && mayRun(s.inventory[by]) && (keeper == "" || by < keeper) {
			keeper = by
		}
	})
	return keeper
}

func (s *scheduler) block(step int, reason string) {
	s.steps[step].Action = NoOp
	s.steps[step].Blocked = reason
}

// link notes what comes before the halves of a step:
//   - it goes down before what it depended on goes down,
//   - it comes up after what it depends on came up, after it went down itself,
//     and after everyone went down who holds a host port or a volume that it takes.
func (s *scheduler) link(i int) {
	step := s.steps[i]
	if s.has(i, Down) && step.Have != nil {
		for _, dep := range step.Have.DependsOn {
			if j, planned := s.index[dep]; planned && j != i && s.has(j, Down) {
				s.order(node(i, Down), node(j, Down))
			}
		}
	}
	if !s.has(i, Up) || step.Want == nil {
		return
	}
	if s.has(i, Down) {
		s.order(node(i, Down), node(i, Up))
	}
	for _, dep := range step.Want.DependsOn {
		if j, planned := s.index[dep]; planned && j != i && s.has(j, Up) {
			s.order(node(j, Up), node(i, Up))
			if step.Want.Conditions[dep] == spec.ConditionStarted {
				s.startedIsEnough(node(j, Up), node(i, Up))
			}
		}
	}
	if !s.takesPorts(i) {
		return
	}
	if problem := s.linkVolumes(i); problem != "" && step.Blocked == "" {
		s.block(i, problem)
		return
	}
	for _, p := range step.Want.Ports {
		s.holders.of(p, func(by spec.Address) {
			if j, planned := s.index[by]; planned && j != i && s.has(j, Down) {
				s.order(node(j, Down), node(i, Up))
			}
		})
	}
}

func (s *scheduler) startedIsEnough(before, after int) {
	if s.started == nil {
		s.started = map[[2]int]bool{}
	}
	s.started[[2]int{before, after}] = true
}

func (s *scheduler) order(before, after int) { s.after[after] = append(s.after[after], before) }

// spreadBlocks blocks every step that would have to wait for a blocked one.
func (s *scheduler) spreadBlocks() {
	var queue []int
	for i := range s.steps {
		if s.steps[i].Blocked != "" {
			queue = append(queue, i)
		}
	}
	if len(queue) == 0 {
		return
	}
	waiting := make([][]int, len(s.steps)) // step -> steps that wait for it
	for n, before := range s.after {
		for _, b := range before {
			waiting[b/len(phases)] = append(waiting[b/len(phases)], n/len(phases))
		}
	}
	for len(queue) > 0 {
		from := queue[0]
		queue = queue[1:]
		for _, i := range waiting[from] {
			if s.steps[i].Blocked == "" {
				s.block(i, fmt.Sprintf("it would have to wait for %s, which is blocked", s.steps[from].Address))
				queue = append(queue, i)
			}
		}
	}
}

// ops numbers the halves that are left.
func (s *scheduler) ops() []Op {
	exists := func(n int) bool {
		i := n / len(phases)
		return s.steps[i].Blocked == "" && s.has(i, phases[n%len(phases)])
	}
	nodes, before := topological(s.after, exists)
	position := make([]int, len(s.after))
	ops := make([]Op, len(nodes))
	for at, n := range nodes {
		position[n] = at
		op := Op{Step: n / len(phases), Phase: phases[n%len(phases)]}
		for _, b := range before[n] {
			if s.started[[2]int{b, n}] {
				op.AfterStart = append(op.AfterStart, position[b])
				continue
			}
			op.After = append(op.After, position[b])
		}
		slices.Sort(op.After)
		slices.Sort(op.AfterStart)
		op.After, op.AfterStart = slices.Compact(op.After), slices.Compact(op.AfterStart)
		ops[at] = op
	}
	return ops
}
