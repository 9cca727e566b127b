package process_test

import (
	"strings"
	"testing"

	"github.com/lkup/lkup/internal/process"
)

// TestCtrlCIsNotForProgramsThatWorkForLkup has a program do to its group what a
// terminal does, and then see that the test is alive.
func TestCtrlCIsNotForProgramsThatWorkForLkup(t *testing.T) {
	out, err := process.Command(t.Context(), "sh", "-c", "trap 'echo heard' INT; kill -INT 0; echo done").CombinedOutput()
	if got := strings.Fields(string(out)); err != nil || len(got) != 2 || got[0] != "heard" || got[1] != "done" {
		t.Errorf("it said %q, %v", out, err)
	}
}
