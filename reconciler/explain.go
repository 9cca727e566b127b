package reconciler

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lkup/lkup/drivers"
)

// consoleShown is how many of the console's last lines a failure shows.
const consoleShown = 15

// StartError is a machine that did not start, or did not become ready, with
// all that is known about it.
type StartError struct {
	Err     error
	Reached Stage    // empty if not even its process runs
	Waiting []string // probes that have not passed, and what they last said
	Cause   string   // a known cause and what to type; may be empty
	Console []string // the last lines, as the guest wrote them: hostile
	Command string   // what was run, quoted for a shell; may be empty
	Running bool     // the machine was left running
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// explain gathers what is known of a failed start. w is nil if the process
// never ran.
func (u *unit) explain(driver drivers.Driver, m drivers.Machine, w *wait, err error) error {
	e := &StartError{Err: err}
	var timeout *timeoutError
	if errors.As(err, &timeout) {
		e.Waiting = timeout.waiting
	}
	c := newConsole(m.Dir)
	if w != nil {
		e.Reached, e.Running, c = w.stage, !errors.Is(err, errExited), w.console
	}
	if _, readErr := c.read(); readErr == nil {
		e.Console = c.last(consoleShown)
	}
	e.Cause = strings.Replace(knownCause(c.lines, e), moreMemory, fmt.Sprintf(" with memory = \"%dMiB\"", 2*m.Memory), 1)
	if liner, able := driver.(drivers.CommandLiner); able {
		e.Command = liner.CommandLine(m)
	}
	return e
}

// moreMemory stands where a cause offers twice the memory that there was.
const moreMemory = "%MORE%"

// knownCauses are what guests print when they die of something a person can
// mend, most telling first.
var knownCauses = []struct{ pattern, cause string }{
	{"Out of memory", "the guest ran out of memory; give it more" + moreMemory},
	{"System is deadlocked on memory", "the guest ran out of memory while it started; give it more" + moreMemory},
	{"Initramfs unpacking failed", "the image does not fit into the guest's memory, or is damaged; give it more" + moreMemory},
	{"No space left on device", "a disk or the root file system of the guest is full; give it more memory, or a larger disk"},
	{"No working init found", "the image has no init for its kernel; name one in the template's init list"},
	{"Unable to mount root fs", "the kernel found no root file system: the image has no initrd, or the wrong disk"},
	{"Kernel panic", "the guest's kernel panicked; the lines below say of what"},
}

// Panicked reports whether the kernel of a machine's last run has said its last
// words. What cannot be read says nothing.
func Panicked(m drivers.Machine) bool {
	lines, err := newConsole(m.Dir).read()
	return err == nil && slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, "Kernel panic") })
}

func knownCause(lines []string, e *StartError) string {
	for _, known := range knownCauses {
		for _, line := range lines {
			if strings.Contains(line, known.pattern) {
				return known.cause
			}
		}
	}
	if e.Running && e.Reached == StageProcess && len(e.Waiting) > 0 { // it had its time
		return "the guest has written nothing to its console; its kernel needs console=ttyS0 on its command line to be heard, or ttyAMA0 on arm64"
	}
	return ""
}
