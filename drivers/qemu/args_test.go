package qemu

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

var update = flag.Bool("update", false, "write the golden files")

// small is a machine with a kernel, on which each row of the table builds.
func small(edit func(*drivers.Machine)) drivers.Machine {
	m := drivers.Machine{
		Address: "vm.web", ID: "0a1b2c3d", Name: "web", Nonce: "f00dfeed",
		Dir: "/state/web", RunDir: "/run/web",
		Arch: amd64, CPUs: 1, Memory: 256, MAC: "52:54:00:0a:1b:2c",
		Boot: drivers.Boot{Kernel: "/store/vmlinux", Initrds: []string{"/store/base.cpio"}, Cmdline: "console=ttyS0 quiet"},
	}
	if edit != nil {
		edit(&m)
	}
	return m
}

func onDisks(m *drivers.Machine) {
	m.Boot = drivers.Boot{Disks: []drivers.Disk{
		{Path: "/store/debian, 12.qcow2", Format: "qcow2"},
		{Path: "/store/seed.raw", Format: "raw"},
	}}
}

// TestArguments is the same on every host: nothing but the machine and the
// host's facts, given here, goes into the arguments.
func TestArguments(t *testing.T) {
	linux := host{arch: amd64, accel: "kvm", sandbox: true, monitor: monitorDescriptor, console: consoleDescriptor}
	emulated, shown := linux, linux
	emulated.accel = "tcg"
	shown.monitor, shown.console = 0, 0
	mac := host{arch: arm64, accel: "hvf", monitor: monitorDescriptor, console: consoleDescriptor}
	onMac := mac
	onMac.accel = "tcg"
	withFirmware := mac
	withFirmware.firmware = "/opt/homebrew/share/qemu/edk2-aarch64-code.fd"
	woken := emulated
	woken.incoming = memoryDescriptor
	arm := func(m *drivers.Machine) { m.Arch = arm64 }
	for name, test := range map[string]struct {
		machine drivers.Machine
		host    host
	}{
		"amd64-kvm":          {small(nil), linux},
		"amd64-tcg":          {small(nil), emulated},
		"amd64-tcg-two-cpus": {small(func(m *drivers.Machine) { m.CPUs = 2 }), emulated},
		"amd64-shown":        {small(nil), shown},
		"amd64-networks": {small(func(m *drivers.Machine) {
			m.NICs = []drivers.NIC{
				{MAC: "52:54:01:02:03:04", Socket: "/run/web/nic0", Switch: "/run/web/port0"},
				{MAC: "52:54:01:02:03:05", Socket: "/run/a,b/nic1", Switch: "/run/a,b/port1"},
			}
			m.Ports = []drivers.Port{{Address: "127.0.0.1", Host: 8080, Guest: 80, Protocol: "tcp"}}
		}), linux},
		"amd64-woken": {small(nil), woken},
		"amd64-disks": {small(onDisks), linux},
		"amd64-disc": {small(func(m *drivers.Machine) {
			onDisks(m)
			m.Volumes = []drivers.Volume{{Name: "data", Path: "/state/data/disk.raw", Format: "raw", Size: 64, Guest: "/data"}}
			m.Disc = "/state/we,b/seed.iso"
		}), linux},
		"amd64-cd": {small(func(m *drivers.Machine) {
			m.Boot = drivers.Boot{Disks: []drivers.Disk{{Path: "/store/in, stall", Format: drivers.CD}, {Path: "/d", Format: "raw"}}}
		}), linux},
		"arm64-cd": {small(func(m *drivers.Machine) {
			arm(m)
			m.Boot = drivers.Boot{Disks: []drivers.Disk{{Path: "/store/cd", Format: drivers.CD}}}
		}), withFirmware},
		"amd64-kernel-disk":   {small(func(m *drivers.Machine) { m.Boot.Disks = []drivers.Disk{{Path: "/d", Format: "raw"}} }), linux},
		"amd64-initrds":       {small(func(m *drivers.Machine) { m.Boot.Initrds = []string{"/a", "/b"} }), linux},
		"amd64-bare":          {small(func(m *drivers.Machine) { m.Boot = drivers.Boot{Kernel: "/k"} }), linux},
		"amd64-on-an-arm-mac": {small(func(m *drivers.Machine) { m.CPUs = 2 }), onMac},
		"arm64-hvf":           {small(arm), mac},
		"arm64-tcg":           {small(func(m *drivers.Machine) { arm(m); m.CPUs = 2 }), emulated},
		"arm64-disks":         {small(func(m *drivers.Machine) { arm(m); onDisks(m) }), withFirmware},
		"ports-and-shares": {small(func(m *drivers.Machine) {
			m.Ports = []drivers.Port{
				{Address: "127.0.0.1", Host: 8080, Guest: 80, Protocol: "tcp"},
				{Address: "0.0.0.0", Host: 5353, Guest: 53, Protocol: "udp"},
			}
			m.Shares = []drivers.Share{
				{Tag: "src", Host: "/home/me/a b", Guest: "/src"},
				{Tag: "site", Host: "/home/me/site", Guest: "/site", ReadOnly: true},
			}
		}), linux},
		"virtiofs": {small(func(m *drivers.Machine) {
			m.Shares = []drivers.Share{
				{Tag: "a", Host: "/a", Guest: "/a", Type: spec.ShareVirtiofs},
				{Tag: "b", Host: "/b", Guest: "/b", Type: spec.Share9P},
				{Tag: "c", Host: "/c", Guest: "/c", Type: spec.ShareVirtiofs},
			}
		}), linux},
		"commas": {small(func(m *drivers.Machine) {
			m.Name, m.Dir, m.RunDir = "we,b", "/sta,te", "/ru,n"
			m.Boot.Initrds = []string{"/a,b"}
			m.Shares = []drivers.Share{{Tag: "t,g", Host: "/h,o,,st", Guest: "/g"}, {Tag: "v,g", Host: "/v", Guest: "/v", Type: spec.ShareVirtiofs}}
		}), shown},
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, name, args(test.machine, test.host))
		})
	}
}

// golden has a line for each option, with its value.
func golden(t *testing.T, name string, words []string) {
	t.Helper()
	var b strings.Builder
	for n, w := range words {
		switch {
		case n == 0:
		case strings.HasPrefix(w, "-"):
			b.WriteString("\n")
		default:
			b.WriteString(" ")
		}
		b.WriteString(w)
	}
	got := b.String() + "\n"
	path := filepath.Join("testdata", "args", name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}
