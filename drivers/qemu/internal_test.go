package qemu

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
)

func TestSettingsAreReadBackFromTheCommandLine(t *testing.T) {
	m := small(nil)
	m.Ports = []drivers.Port{
		{Address: "127.0.0.1", Host: 8080, Guest: 80, Protocol: "tcp"},
		{Address: "0.0.0.0", Host: 5353, Guest: 53, Protocol: "udp"},
	}
	ports, memory := settings(args(m, host{accel: "tcg"}))
	if diff := cmp.Diff(m.Ports, ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if memory != m.Memory {
		t.Errorf("memory %d, want %d", memory, m.Memory)
	}
}

func TestAcceleratorIsTheFastestThatWorks(t *testing.T) {
	works := facts{os: "linux", arch: amd64, guest: amd64, vmx: true}
	with := func(edit func(*facts)) facts {
		f := works
		edit(&f)
		return f
	}
	for name, test := range map[string]struct {
		facts        facts
		accel, cause string // a part of the reason
	}{
		"kvm":                        {works, "kvm", ""},
		"kvm on arm64":               {with(func(f *facts) { f.arch, f.guest = arm64, arm64 }), "kvm", ""},
		"kvm that lies":              {with(func(f *facts) { f.vmx = false }), "tcg", "neither vmx nor svm"},
		"kvm that may not be opened": {with(func(f *facts) { f.kvm = errors.New("permission denied") }), "tcg", "permission denied"},
		"another architecture":       {with(func(f *facts) { f.guest = arm64 }), "tcg", "the guest is arm64"},
		"hvf":                        {with(func(f *facts) { f.os, f.hvf = "darwin", true }), "hvf", ""},
		"a Mac without hvf":          {with(func(f *facts) { f.os = "darwin" }), "tcg", "Hypervisor.framework"},
		"another architecture, hvf":  {with(func(f *facts) { f.os, f.hvf, f.guest = "darwin", true, arm64 }), "tcg", "the guest is arm64"},
		"another system":             {with(func(f *facts) { f.os = "freebsd" }), "tcg", "freebsd"},
	} {
		t.Run(name, func(t *testing.T) {
			accel, reason := accelerator(test.facts)
			if accel != test.accel || !strings.Contains(reason, test.cause) || (reason == "") != (test.cause == "") {
				t.Errorf("%q because %q, want %q because of %q", accel, reason, test.accel, test.cause)
			}
		})
	}
}

func TestInitrdsAreJoinedAtMultiplesOfFour(t *testing.T) {
	dir := t.TempDir()
	var parts []string
	for n, content := range []string{"12345", "1234", "", "1"} {
		path := filepath.Join(dir, string(rune('a'+n)))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, path)
	}
	joined := filepath.Join(dir, "joined")
	if err := os.WriteFile(joined, []byte("an older one that was longer than this"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := join(joined, parts); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(joined)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("12345\x00\x00\x001234"+"1\x00\x00\x00", string(got)); diff != "" {
		t.Errorf("joined (-want +got):\n%s", diff)
	}
}

func TestADiskThatStopsAMachineIsNamed(t *testing.T) {
	m := drivers.Machine{Name: "db", Dir: "/state/db", Volumes: []drivers.Volume{
		{Name: "log", Path: "/state/volumes/1/disk.raw"}, {Name: "data", Path: "/state/volumes/2/disk.raw"},
	}}
	on := func(node, status string) block {
		b := block{Status: status}
		b.Medium.Node = node
		return b
	}
	for name, test := range map[string]struct {
		blocks []block
		want   string
	}{
		"a full host": {[]block{on("volume0", "ok"), on("volume1", "nospace")},
			"the host's disk is full, and nothing more can be written to volume data; free some space for /state/volumes/2, then type: lkup resume db"},
		"its own disk": {[]block{on("disk0", "nospace")},
			"the host's disk is full, and nothing more can be written to its own disk; free some space for /state/db, then type: lkup resume db"},
		"a broken disk": {[]block{on("volume0", "failed")}, "the host cannot write or read volume log; mend /state/volumes/1/disk.raw, then type: lkup resume db"},
		"nobody says":   {nil, "io-error"},
	} {
		if diff := cmp.Diff(test.want, troubleText(m, test.blocks)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
