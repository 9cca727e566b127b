package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lkup/lkup/planner"
)

// Why says why each step is what it is, in the words of the plan, and of what
// stays as it is since when and by what.
func Why(w io.Writer, style Style, steps []planner.Step, upToDate func(planner.Step) planner.UpToDate) error {
	var b strings.Builder
	for _, s := range steps {
		b.WriteString(oneLine(s.Sentence()))
		if s.Action == planner.NoOp && s.Blocked == "" {
			u := upToDate(s)
			fmt.Fprintf(&b, " since %s; inputs: %s", u.Since.Format(time.RFC3339), oneLine(strings.Join(u.Inputs, ", ")))
		}
		b.WriteByte('\n')
		for _, c := range s.Causes {
			p := planText{style: style}
			fmt.Fprintf(&b, "  %s%s\n", oneLine(c.Detail), p.at(c.Origin))
			for _, l := range c.Because {
				fmt.Fprintf(&b, "    %s\n", oneLine(l.String()))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
