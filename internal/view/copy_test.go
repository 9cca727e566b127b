package view_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/internal/view"
)

func TestCopying(t *testing.T) {
	now := time.Unix(0, 0)
	clock := func() time.Time { now = now.Add(60 * time.Millisecond); return now }
	show := func(style view.Style) func(*strings.Builder) error {
		return func(b *strings.Builder) error {
			p := view.Copying(b, style, clock)
			for i := range 5 {
				p.Report(i, int64(i)<<20)
			}
			p.Close()
			view.CopyDone(b, 5, 5<<20, 3*time.Second, []string{"/x/\x1b[31mred is a socket"})
			return nil
		}
	}
	golden(t, "copying.txt", printed(t, show(pipe)))
	golden(t, "copying-terminal.txt", printed(t, show(terminal)))
}
