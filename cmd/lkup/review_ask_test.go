package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is typed as it was printed brings the changes back, also where the
// project is a part of a repository and its name has to be quoted.
func TestNothingOfAReviewComesBackUnlessItIsAgreedTo(t *testing.T) {
	const back = "type: "
	for name, test := range map[string]struct {
		terminal, yes bool
		answer        string
		brought       bool
		says          string // on stderr
	}{
		"yes":                     {terminal: true, answer: "yes\n", brought: true, says: `Go on? Only "yes" is taken: Brought back to `},
		"no":                      {terminal: true, answer: "no\n", says: "Nothing of this is in the project. To bring it back, " + back},
		"no answer":               {terminal: true, says: "Nothing of this is in the project. To bring it back, " + back},
		"nobody is there":         {answer: "yes\n", says: "Nothing of this is in the project. To bring it back, " + back},
		"it was agreed to before": {yes: true, brought: true, says: "Brought back to "},
	} {
		t.Run(name, func(t *testing.T) {
			repository := t.TempDir()
			if out, err := exec.Command("git", "init", "-q", repository).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			project := filepath.Join(repository, "part", "it's a project")
			lay(t, project, map[string]string{"a.txt": "one\n", "sub/b.txt": "b\n"})
			v, err := newReview(t.Context(), filepath.Join(t.TempDir(), "my reviews", "r"), project, nil)
			if err != nil {
				t.Fatal(err)
			}
			lay(t, v.copy(), map[string]string{"a.txt": "two \n", "sub/b.txt": "c\n", "new/c.txt": "new\n"})
			var out, said bytes.Buffer
			c := call{ctx: t.Context(), Host: Host{
				In: strings.NewReader(test.answer), Out: &out, Err: &said, TTY: TTY{In: test.terminal}, Getenv: func(string) string { return "" },
			}}
			err = (&devAgentRunCmd{Yes: test.yes}).bringBack(&c, v, true)
			text := said.String()
			var status exitError
			if !strings.Contains(text, test.says) || (err == nil) != test.brought || err != nil && !(errors.As(err, &status) && status == exitUnapplied) {
				t.Errorf("it says %q, with %v", text, err)
			}
			if !strings.Contains(out.String(), "+two \n") {
				t.Errorf("it shows %q", out.String())
			}
			before, after := map[string]string{"a.txt": "one\n", "sub/b.txt": "b\n"}, map[string]string{"a.txt": "two \n", "sub/b.txt": "c\n", "new/c.txt": "new\n"}
			if !test.brought {
				if diff := cmp.Diff(before, lies(t, project)); diff != "" {
					t.Errorf("it was brought back: %s", diff)
				}
				_, command, _ := strings.Cut(text, back)
				command, _, _ = strings.Cut(command, "\n")
				typeIn(t, command)
			} else if _, err := os.Stat(v.dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the copy is left: %v", err)
			}
			if diff := cmp.Diff(after, lies(t, project)); diff != "" {
				t.Errorf("the project (-want +got): %s", diff)
			}
		})
	}
}

func typeIn(t *testing.T, line string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%s: %v: %s", line, err, out)
	}
}
