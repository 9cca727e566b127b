package planner

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lkup/lkup/spec"
)

// because is the chain behind a change: from the argument's own sources down
// to one that changed and that nothing else explains.
func (p *planning) because(step Step, c Change) []Link {
	was := p.Inventory[step.Address].Sources
	if was == nil || p.Stack == nil {
		return nil
	}
	keys := p.Stack.From[c.Origin]
	if c.Attribute == "image" {
		keys = p.Sources[string(step.Want.Image)].From
	}
	return p.chain(keys, was, map[string]bool{})
}

// chain follows the first of several sources that changed. Others are counted.
func (p *planning) chain(keys []string, was map[string]spec.Fingerprint, seen map[string]bool) []Link {
	var first string
	others := 0
	for _, key := range keys {
		if seen[key] || !p.changed(key, was) {
			continue
		}
		if first == "" {
			first = key
		} else {
			others++
		}
	}
	if first == "" {
		return nil
	}
	seen[first] = true
	now := p.Sources[first]
	link := Link{What: first, Origin: now.Origin}
	old, known := was[first]
	switch {
	case !known:
		link.Detail = "is new"
	case len(now.Lines) > 0 && len(old.Lines) > 0:
		link.What = first + ":" + strconv.Itoa(firstDifference(old.Lines, now.Lines))
	case now.Text != "" && old.Text != "":
		link.Detail = fmt.Sprintf("changed from %s to %s", old.Text, now.Text)
	}
	if others > 0 {
		link.What += fmt.Sprintf(" and %d more", others)
	}
	return append([]Link{link}, p.chain(now.From, was, seen)...)
}

// changed reports whether a source, or one behind it, is not what it was.
func (p *planning) changed(key string, was map[string]spec.Fingerprint) bool {
	now, there := p.Sources[key]
	old, known := was[key]
	return there && (!known || now.Digest != old.Digest)
}

// firstDifference is the number of the first line that differs, from 1.
func firstDifference(old, now []uint32) int {
	for n := range min(len(old), len(now)) {
		if old[n] != now[n] {
			return n + 1
		}
	}
	return min(len(old), len(now)) + 1
}

// movedAt is where the stack files say that a step's VM has a new address.
func (p *planning) movedAt(step Step) spec.Pos {
	return p.originOfMove(step.Address)
}

// mostCauses is how many causes a sentence tells before it counts the rest.
const mostCauses = 2

// Sentence says for people what becomes of a VM and why, down to the root. It
// is the one place that does: whoever shows a plan, or a part of it, shows
// these words.
func (s Step) Sentence() string {
	var b strings.Builder
	b.WriteString(string(s.Address) + " " + s.fate())
	for n, c := range s.Causes {
		if n == mostCauses && len(s.Causes) > mostCauses+1 {
			fmt.Fprintf(&b, ", and for %d more reasons", len(s.Causes)-mostCauses)
			break
		}
		if n > 0 {
			b.WriteString(", and")
		}
		b.WriteString(" because " + c.Detail)
		if c.Origin.File != "" && !c.imageChanged() {
			fmt.Fprintf(&b, " (%s)", c.Origin)
		}
		for _, l := range c.Because {
			b.WriteString(" because " + l.String())
		}
	}
	return b.String()
}

// imageChanged reports whether a cause is an image that became another one by
// what it is made from: then those places matter, not that of its name.
func (c Cause) imageChanged() bool {
	return len(c.Because) > 0 && strings.HasSuffix(c.Detail, " changed")
}

// String is the link as a clause.
func (l Link) String() string {
	text := l.What + " changed"
	if l.Detail != "" {
		text = l.What + " " + l.Detail
	}
	if l.Origin.File != "" && !strings.HasPrefix(l.What, l.Origin.File+":") {
		text += fmt.Sprintf(" (%s)", l.Origin)
	}
	return text
}

// fate is what becomes of a VM.
func (s Step) fate() string {
	switch s.Action {
	case NoOp:
		if s.Blocked != "" {
			return "is left alone"
		}
		return "is up to date"
	case Create:
		return "will be created"
	case Start:
		return "will be started"
	case Update:
		if s.Live {
			return "changes live"
		}
		return "is recorded anew, and its guest is not touched,"
	case Restart:
		return "must be restarted"
	case Replace:
		return "must be replaced"
	case Stop:
		return "will be stopped"
	case Delete:
		return "will be deleted"
	case Forget:
		return "will be forgotten"
	default:
		panic("planner: no such action: " + string(s.Action))
	}
}

// UpToDate says since when a VM is as it should be, and what its values are
// made from.
type UpToDate struct {
	Since  time.Time
	Inputs []string
}
