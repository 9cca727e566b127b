//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/guest"
)

func TestModulesAreKnownByTheirNames(t *testing.T) {
	m := &modules{needs: map[string][]string{}}
	m.read(bufio.NewScanner(strings.NewReader(
		"kernel/drivers/virtio/virtio-pci.ko.xz: kernel/a/virtio_ring.ko.xz kernel/a/virtio.ko.xz\nkernel/a/virtio.ko.xz:\nno colon\n")))
	want := map[string][]string{
		"virtio_pci": {"kernel/drivers/virtio/virtio-pci.ko.xz", "kernel/a/virtio_ring.ko.xz", "kernel/a/virtio.ko.xz"},
		"virtio":     {"kernel/a/virtio.ko.xz"},
	}
	if diff := cmp.Diff(want, m.needs); diff != "" {
		t.Fatal(diff)
	}
}

func TestOnlyMountsWithDataAreUnmounted(t *testing.T) {
	mounts := "proc /proc proc rw 0 0\n/dev/vda /data ext4 rw 0 0\nshare0 /srv 9p rw 0 0\ntmp /tmp tmpfs rw 0 0\n"
	if diff := cmp.Diff([]string{"/data", "/srv"}, diskMounts(mounts)); diff != "" {
		t.Fatal(diff)
	}
}

func TestAContainerGetsTheMachinesEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	before := `{"process":{"env":["PATH=/bin"],"rlimits":[{"hard":18446744073709551615}]}}`
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	m := &machine{config: guest.Config{Env: map[string]string{"B": "2", "A": "1"}}}
	if err := m.addEnv(path); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), "18446744073709551615") {
		t.Errorf("a limit of 64 bits changed: %s", content)
	}
	var config struct {
		Process struct {
			Env []string `json:"env"`
		} `json:"process"`
	}
	if err := json.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"PATH=/bin", "A=1", "B=2"}, config.Process.Env); diff != "" {
		t.Fatal(diff)
	}
}

func TestAContainerThatAsksForThemSeesTheShares(t *testing.T) {
	shares := []guest.Share{{Tag: "s0", Path: "/srv/www"}, {Tag: "s1", Path: "/etc/site", ReadOnly: true}}
	for _, c := range []struct{ before, want string }{
		{`{"annotations":{"lkup.shares":"all"},"process":{}}`, `[{"destination":"/srv/www","options":["rbind","rw"],"source":"/srv/www","type":"bind"},` +
			`{"destination":"/etc/site","options":["rbind","ro"],"source":"/etc/site","type":"bind"}]`},
		{`{"annotations":{"lkup.shares":"none"},"process":{}}`, "null"},
		{`{"process":{}}`, "null"},
	} {
		content, err := adjusted([]byte(c.before), []string{"A=1"}, shares)
		if err != nil {
			t.Fatal(err)
		}
		var config struct {
			Mounts json.RawMessage `json:"mounts"`
		}
		if err := json.Unmarshal(content, &config); err != nil {
			t.Fatal(err)
		}
		if got := string(config.Mounts); got != c.want && (c.want != "null" || got != "") {
			t.Errorf("%s: mounts %s", c.before, got)
		}
	}
	if content, err := adjusted([]byte(`{"process":{}}`), nil, shares); content != nil || err != nil {
		t.Errorf("it was changed without need: %s, %v", content, err)
	}
}

func TestOverlaysHaveTheDirectoriesTheyWriteTo(t *testing.T) {
	dir := t.TempDir()
	upper, work := filepath.Join(dir, "tmp", "upper"), filepath.Join(dir, "tmp", "work")
	if err := makeOverlayDirs([]string{"lowerdir=" + dir + "/lower", "upperdir=" + upper, "workdir=" + work}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{upper: true, work: true, dir + "/lower": false} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestWhatRuncSaysIsTakenOutOfItsLog(t *testing.T) {
	o := &output{ended: make(chan struct{})}
	close(o.ended)
	for line, want := range map[string]string{
		`time="2026-01-01T00:00:00Z" level=error msg="runc run failed: exec: \"/x\": no such file"`: `runc run failed: exec: "/x": no such file`,
		"something else":           "exit status 1: something else",
		`level=error msg="cut off`: `exit status 1: level=error msg="cut off`,
	} {
		o.line = line
		if got := o.reason(errors.New("exit status 1")).Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestACgroupGetsItsParentsControllers(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "cgroup.controllers"), []byte("cpu memory\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := makeCgroup(root, "/pods/a"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "pods", "a")); err != nil {
		t.Error(err)
	}
	content, err := os.ReadFile(filepath.Join(root, "cgroup.subtree_control"))
	if err != nil || string(content) != "+memory" { // one write each, as the kernel wants it
		t.Errorf("%q, %v", content, err)
	}
}
