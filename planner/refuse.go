package planner

import (
	"fmt"

	"github.com/lkup/lkup/spec"
)

// refusals lists the steps that the stack files forbid, or that nobody can do
// without losing what a volume holds.
func refusals(steps []Step, sizes map[spec.Address]int) []Refusal {
	var all []Refusal
	for _, s := range steps {
		if s.Blocked != "" {
			continue
		}
		if s.Action == Replace || s.Action == Delete {
			if detail := prevented(s); detail != "" {
				all = append(all, Refusal{s.Address, detail})
			}
		}
		if s.Want == nil || s.Action == NoOp {
			continue
		}
		for _, m := range s.Want.Mounts {
			if had := max(sizes[m.Volume], mountedSize(s.Have, m.Volume)); m.Size < had {
				all = append(all, Refusal{s.Address, fmt.Sprintf(
					"%s cannot shrink from %s to %s, because what lies there would be lost; write a size of %[2]s or more, or make another volume",
					m.Volume, memoryText(had), memoryText(m.Size))})
			}
		}
	}
	return all
}

// mountedSize is how large a volume was that a VM has, or 0.
func mountedSize(vm *spec.VM, volume spec.Address) int {
	if vm == nil {
		return 0
	}
	for _, m := range vm.Mounts {
		if m.Volume == volume {
			return m.Size
		}
	}
	return 0
}

// prevented says why lifecycle.prevent_destroy forbids a step. What was applied
// counts where nothing is wanted any more: to take a block out of a file must
// not undo its protection.
func prevented(s Step) string {
	protected, at := s.Want, spec.Pos{}
	if protected == nil {
		protected = s.Have
	}
	if protected == nil || !protected.Lifecycle.PreventDestroy {
		return ""
	}
	if s.Want != nil {
		at = s.Want.Origin("lifecycle.prevent_destroy")
	}
	where := ""
	if at.File != "" {
		where = " at " + at.String()
	}
	if s.Want == nil {
		return fmt.Sprintf("it was applied with lifecycle.prevent_destroy; to delete it, first apply it with prevent_destroy = false, or let it go with: lkup state rm '%s'", s.Address)
	}
	return fmt.Sprintf("lifecycle.prevent_destroy%s forbids to replace it; set it to false to allow that", where)
}
