package view_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

func TestHappenings(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	all := []view.Happening{
		{Time: at, Address: "vm.db", ID: "00000001", Kind: "start", Took: 1200 * time.Millisecond},
		{Time: at, Address: "vm.db", ID: "00000001", Kind: "ready"},
		{Time: at, Address: "vm.db", Kind: "crashed", Detail: "it crashed; it is started again in 1s (1 of 5)"},
		{Time: at, Address: "vm.\x1b[31mx", Kind: "stop", Error: "first\nsecond \x1b[2J"},
	}
	show := func(style view.Style, asJSON bool) func(*strings.Builder) error {
		return func(b *strings.Builder) error {
			print := view.Happenings(b, style, asJSON)
			for _, h := range all {
				if asJSON {
					h.Time = at.UTC().Add(-at.Sub(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
				}
				if err := print(h); err != nil {
					return err
				}
			}
			return nil
		}
	}
	golden(t, "happenings.txt", printed(t, show(pipe, false)))
	golden(t, "happenings-color.txt", printed(t, show(terminal, false)))
	golden(t, "happenings.jsonl", printed(t, show(pipe, true)))
}

// What is sensitive stays so, whatever way it came into the environment.
func TestInspectShowsNoSecrets(t *testing.T) {
	m := view.Machine{
		Address: "vm.web", Name: "web", ID: "1a2b3c4d", Stack: "shop", Project: "/home/me/shop", Status: drivers.Running, Ready: true,
		PID: 4711, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Driver: "qemu", Arch: "amd64", MAC: "52:54:00:1a:2b:3c",
		Source: "oci:nginx", Digest: "sha256:00", Guest: true, SSHPort: 10022, Memory: 256, MemoryMax: 256,
		Held: []view.HeldPort{{Address: "127.0.0.1", Host: 8080, Guest: 80, Protocol: "tcp"}},
		Dir:  "/state/1a2b3c4d", Console: "/state/1a2b3c4d/console.log",
		CreatedAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), AppliedAt: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		Applied: &spec.VM{
			Address: "vm.web", Name: "web", CPUs: 1, Memory: 256, Running: true, Sensitive: []string{"env.TOKEN"},
			Env:     map[string]string{"PLAIN": "seen", "TOKEN": "hunter2"},
			Secrets: map[string]spec.Secret{"PASSWORD": {Value: "hunter3", Digest: "hunter4"}},
		},
	}
	text := printed(t, func(b *strings.Builder) error { return view.MachineJSON(b, m) })
	if strings.Contains(text, "hunter") {
		t.Error("a secret is shown")
	}
	golden(t, "inspect.json", text)
}
