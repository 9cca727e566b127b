package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// killings is how often each of saving and restoring is killed.
const killings = 6

// TestKilledCheckpointsLeaveTheStackWhole kills lkup with -9 at some instant of
// a saving or a restoring. After the next apply all runs, there is nothing to
// do, and both volumes hold what they held before, or both what they held when
// they were saved.
func TestKilledCheckpointsLeaveTheStackWhole(t *testing.T) {
	p := newKillable(t)
	p.must("apply", "-y")
	p.write("before")
	p.must("checkpoint", "save", "first")
	p.write("after")
	began := time.Now()
	p.must("checkpoint", "restore", "first", "-y")
	whole := time.Since(began)
	seen := map[string]int{}
	for n := range killings {
		p.write("after")
		p.kill(whole*time.Duration(n+1)/killings, "checkpoint", "restore", "first", "-y")
		p.must("apply", "-y")
		p.must("plan", "--detailed-exitcode")
		seen[p.read()]++
	}
	for n := range killings {
		name := fmt.Sprintf("cut%d", n)
		p.kill(whole*time.Duration(n+1)/killings/2, "checkpoint", "save", name)
		p.must("apply", "-y")
		p.must("plan", "--detailed-exitcode")
		p.read()
		if strings.Contains(p.must("checkpoint", "ls"), name) { // then it is whole
			p.must("checkpoint", "restore", name, "-y")
		}
	}
	p.must("down", "-y")
	t.Logf("of %s, killed at some instant: %v", whole, seen)
}

// killable is a project whose lkup is a process of its own.
type killable struct {
	*testing.T
	dir string
	env []string
}

func newKillable(t *testing.T) *killable {
	dir := t.TempDir()
	p := &killable{T: t, dir: filepath.Join(dir, "project"), env: append(os.Environ(),
		"LKUP_STATE_DIR="+filepath.Join(dir, "state"), "LKUP_CACHE_DIR="+filepath.Join(dir, "cache"), "LKUP_RUNTIME_DIR="+filepath.Join(dir, "run"))}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"disk.raw": strings.Repeat("a disk, ", 512), "lkup.hcl": `
image "disk" { source = "file:disk.raw" }
volume "a" { size = "1MiB" }
volume "b" { size = "1MiB" }
vm "a" {
  image  = image.disk
  driver = "fake"
  mount { volume = volume.a }
}
vm "b" {
  image  = image.disk
  driver = "fake"
  mount { volume = volume.b }
}
`} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p *killable) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "lkup", args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	return cmd
}

func (p *killable) must(args ...string) string {
	p.Helper()
	output, err := p.command(p.Context(), args...).CombinedOutput()
	if err != nil {
		p.Fatalf("lkup %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return string(output)
}

// kill kills lkup, with -9, some time after it began.
func (p *killable) kill(after time.Duration, args ...string) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.Context(), after)
	defer cancel()
	_ = p.command(ctx, args...).Run() // it was killed, or came to its end before
}

// disks are the disks of both volumes.
func (p *killable) disks() []string {
	p.Helper()
	disks, err := filepath.Glob(filepath.Join(filepath.Dir(p.dir), "state", "stacks", "*", "volumes", "*", "disk.raw"))
	if err != nil || len(disks) != 2 {
		p.Fatalf("disks: %v, %v", disks, err)
	}
	return disks
}

func (p *killable) write(content string) {
	p.Helper()
	for _, disk := range p.disks() {
		if err := os.WriteFile(disk, append([]byte(content), make([]byte, 1<<20-len(content))...), 0o600); err != nil {
			p.Fatal(err)
		}
	}
}

// read is what both volumes hold.
func (p *killable) read() string {
	p.Helper()
	var all []string
	for _, disk := range p.disks() {
		content, err := os.ReadFile(disk)
		if err != nil {
			p.Fatal(err)
		}
		all = append(all, string(bytes.TrimRight(content, "\x00")))
	}
	if all[0] != all[1] || all[0] != "before" && all[0] != "after" {
		p.Errorf("the volumes hold %q", all)
	}
	return all[0]
}
