package planner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/lkup/lkup/spec"
)

// VolumeStep is what happens to a volume. That one grows is not here: it is a
// change of the VM that has it.
type VolumeStep struct {
	Address   spec.Address `json:"address"`
	Action    Action       `json:"action"` // Create, Import, Update for a new address, or Forget
	MovedFrom spec.Address `json:"moved_from,omitempty"`
	From      string       `json:"from,omitempty"` // the disk that is imported
	Size      int          `json:"size,omitempty"` // MiB
	Format    string       `json:"format,omitempty"`
	Origin    spec.Pos     `json:"origin,omitzero"`
}

// Sentence says for people what becomes of a volume and why.
func (s VolumeStep) Sentence() string {
	at := ""
	if s.Origin.File != "" {
		at = fmt.Sprintf(" (%s)", s.Origin)
	}
	switch s.Action {
	case Import:
		return fmt.Sprintf("%s will be a copy of %s because an import block says so%s", s.Address, s.From, at)
	case Update:
		return fmt.Sprintf("%s is recorded anew because %s has moved here%s", s.Address, s.MovedFrom, at)
	case Forget:
		return fmt.Sprintf("%s will be forgotten, and its disk stays, because a removed block says so%s", s.Address, at)
	default:
		return fmt.Sprintf("%s will be created because it is new in the stack files%s", s.Address, at)
	}
}

// moveVolumes gives volumes the addresses that moved blocks say, also where
// instances mount them. It comes before any comparison.
func (p *planning) moveVolumes() {
	p.volumes, p.sizes = map[spec.Address]bool{}, map[spec.Address]int{}
	for a, size := range p.Volumes {
		p.volumes[a], p.sizes[a] = true, size
	}
	if p.Stack == nil {
		return
	}
	p.volumesMoved = map[spec.Address]spec.Address{}
	for _, m := range p.Stack.Moved {
		for _, from := range slices.Sorted(maps.Keys(p.volumes)) {
			if to, covered := m.Apply(from); covered && !p.volumes[to] {
				delete(p.volumes, from)
				p.volumes[to], p.sizes[to] = true, p.sizes[from]
				p.volumesMoved[to] = cmp.Or(p.volumesMoved[from], from)
				delete(p.volumesMoved, from)
			}
		}
	}
	if len(p.volumesMoved) == 0 {
		return
	}
	now := map[spec.Address]spec.Address{}
	for to, from := range p.volumesMoved {
		now[from] = to
	}
	p.Inventory = maps.Clone(p.Inventory)
	for a, i := range p.Inventory {
		i.Applied.Mounts = slices.Clone(i.Applied.Mounts)
		for n, m := range i.Applied.Mounts {
			i.Applied.Mounts[n].Volume = cmp.Or(now[m.Volume], m.Volume)
		}
		slices.SortFunc(i.Applied.Mounts, func(a, b spec.Mount) int { return cmp.Compare(a.Volume, b.Volume) })
		i.Lost = slices.Clone(i.Lost)
		for n, v := range i.Lost {
			i.Lost[n] = cmp.Or(now[v], v)
		}
		p.Inventory[a] = i
	}
}

// volumeSteps lists what happens to volumes, sorted by address: those that the
// steps' VMs mount, and those of which the stack files say something.
func (p *planning) volumeSteps(steps []Step) []VolumeStep {
	if p.Stack == nil || p.Destroy {
		return nil
	}
	var all []VolumeStep
	mounted := map[spec.Address]bool{}
	for _, s := range steps {
		if s.Want == nil || s.Blocked != "" || s.Action == NoOp {
			continue
		}
		for _, m := range s.Want.Mounts {
			mounted[m.Volume] = true
		}
	}
	imports := map[spec.Address]spec.Import{}
	for _, i := range p.Stack.Imports {
		imports[i.To] = i
	}
	for _, a := range slices.Sorted(maps.Keys(p.Stack.Volumes)) {
		v, i := p.Stack.Volumes[a], imports[a]
		s := VolumeStep{Address: a, Action: Create, Size: v.Size, Format: v.Format, Origin: v.Origin}
		switch {
		case p.volumes[a]:
			continue
		case i.To != "" && (mounted[a] || len(p.Targets)+len(p.Exclude) == 0):
			s.Action, s.From, s.Origin = Import, i.From, i.Origin
		case !mounted[a]:
			continue
		}
		all = append(all, s)
	}
	for to, from := range p.volumesMoved {
		all = append(all, VolumeStep{Address: to, Action: Update, MovedFrom: from, Origin: p.originOfMove(to)})
	}
	for a := range p.volumes {
		if r := p.removed(a); r.From != "" && !r.Destroy {
			all = append(all, VolumeStep{Address: a, Action: Forget, Origin: r.Origin})
		}
	}
	slices.SortFunc(all, func(a, b VolumeStep) int { return cmp.Compare(a.Address, b.Address) })
	return all
}

// originOfMove is the moved block that gave something its address.
func (p *planning) originOfMove(to spec.Address) spec.Pos {
	for _, m := range p.Stack.Moved {
		if m.To.Covers(to) {
			return m.Origin
		}
	}
	return spec.Pos{}
}

// volumeHolders lists, by volume, the instances that may run with it now.
func volumeHolders(all Inventory) map[spec.Address][]spec.Address {
	holders := map[spec.Address][]spec.Address{}
	for a, i := range all {
		if !mayRun(i) {
			continue
		}
		for _, m := range i.Applied.Mounts {
			holders[m.Volume] = append(holders[m.Volume], a)
		}
	}
	for _, by := range holders {
		slices.Sort(by)
	}
	return holders
}

// linkVolumes lets a step's machine start only after those have stopped that
// have a volume which it writes, or that write one which it reads. It gives
// what is wrong if one of those does not stop.
func (s *scheduler) linkVolumes(i int) (problem string) {
	step := s.steps[i]
	for _, m := range step.Want.Mounts {
		for _, by := range s.volumes[m.Volume] {
			j, planned := s.index[by]
			switch {
			case by == step.Address, m.ReadOnly && s.reads(by, m.Volume):
			case planned && s.has(j, Down) && !s.steps[j].Live:
				s.order(node(j, Down), node(i, Up))
			default:
				problem = fmt.Sprintf("%s is in use by %s, which this plan leaves alone", m.Volume, by)
			}
		}
	}
	return problem
}

// reads reports whether an instance only reads a volume.
func (s *scheduler) reads(a, volume spec.Address) bool {
	return slices.ContainsFunc(s.inventory[a].Applied.Mounts, func(m spec.Mount) bool { return m.Volume == volume && m.ReadOnly })
}
