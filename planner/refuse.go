package planner

import (
	"fmt"

	"github.com/lkup/lkup/spec"
)

// refusals lists the steps that the stack files forbid, or that nobody can do
// without losing what a volume holds.
func refusals(steps []Step) []Refusal {
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
		if s.Want == nil || s.Have == nil {
			continue
		}
		for _, had := range s.Have.Mounts {
			for _, m := range s.Want.Mounts {
				if m.Volume == had.Volume && m.Size < had.Size {
					all = append(all, Refusal{s.Address, fmt.Sprintf(
						"%s cannot shrink from %s to %s, because what lies there would be lost; write a size of %[2]s or more, or make another volume",
						m.Volume, memoryText(had.Size), memoryText(m.Size))})
				}
			}
		}
	}
	return all
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
