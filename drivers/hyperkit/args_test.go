package hyperkit_test

import (
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/hyperkit"
	"github.com/lkup/lkup/spec"
)

var update = flag.Bool("update", false, "write the golden files")

// TestArguments compares command lines, which are the same on every host.
func TestArguments(t *testing.T) {
	m := func(change func(*drivers.Machine)) drivers.Machine {
		m := drivers.Machine{
			Address: "vm.web", ID: "0badcafe", Name: "web", Nonce: "f00df00df00df00d", Dir: "/state/0badcafe", RunDir: "/run/0badcafe",
			Arch: "amd64", CPUs: 2, Memory: 1024, MAC: "52:54:00:0b:ad:ca",
			Boot: drivers.Boot{Kernel: "/store/kernel", Initrds: []string{"/store/initrd"}, Cmdline: "console=ttyS0 quiet"},
		}
		change(&m)
		return m
	}
	for name, machine := range map[string]drivers.Machine{
		"kexec":      m(func(*drivers.Machine) {}),
		"no-initrd":  m(func(m *drivers.Machine) { m.Boot.Initrds, m.Boot.Cmdline = nil, "" }),
		"no-network": m(func(m *drivers.Machine) { m.MAC = "" }),
		"networks": m(func(m *drivers.Machine) {
			m.NICs = []drivers.NIC{{MAC: "52:54:01:00:00:01"}, {MAC: "52:54:01:00:00:02"}, {MAC: "52:54:01:00:00:03"}}
			m.Volumes = []drivers.Volume{{Name: "data", Path: "/state/volumes/data", Format: "raw", Size: 64}}
		}),
		"seed-alone": m(func(m *drivers.Machine) { m.Boot.Initrds, m.Boot.Seed = nil, []string{"/run/seed"} }),
		"uefi": m(func(m *drivers.Machine) {
			m.Boot = drivers.Boot{Disks: []drivers.Disk{{Path: "/store/a.raw", Format: "raw"}}}
		}),
		"odd-words": m(func(m *drivers.Machine) { m.Dir, m.Boot.Cmdline = "/a dir, it's", "a=b,c 'd'" }),
		"disks-volumes": m(func(m *drivers.Machine) {
			m.Boot.Disks = []drivers.Disk{{Path: "/store/a.raw", Format: "raw"}, {Path: "/store/b, c.qcow2", Format: "qcow2"}}
			m.Volumes = []drivers.Volume{{Name: "data", Path: "/state/volumes/data", Format: "raw", Size: 64}, {Name: "shared", Path: "/state/volumes/shared", Format: "raw", Size: 8, ReadOnly: true}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.ReplaceAll(hyperkit.New(hyperkit.Settings{}).CommandLine(machine), " -", " \\\n  -") + "\n"
			path := filepath.Join("testdata", "args", name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("command line (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckFindsWhatHyperkitCannotDo(t *testing.T) {
	vm := spec.VM{CPUs: 17, Shares: []spec.Share{{Guest: "/srv"}, {Guest: "/copy", Type: spec.ShareSync}}, Mounts: []spec.Mount{{Volume: "volume.disk"}, {Volume: "volume.data", Path: "/data"}}}
	var got []string
	for _, p := range hyperkit.New(hyperkit.Settings{AnyHost: true}).Check(vm) {
		got = append(got, p.Attribute)
		if p.Summary == "" || !strings.Contains(p.Hint, `driver = "qemu"`) {
			t.Errorf("it does not say what to do: %+v", p)
		}
	}
	if diff := cmp.Diff([]string{"cpus", "share[/srv]", "mount[volume.data]"}, got); diff != "" {
		t.Errorf("attributes (-want +got):\n%s", diff)
	}
}

func TestATaskCannotHaveCopies(t *testing.T) {
	vm := spec.VM{CPUs: 1, Kind: spec.KindTask, Shares: []spec.Share{{Guest: "/copy", Type: spec.ShareSync}}}
	problems := hyperkit.New(hyperkit.Settings{AnyHost: true}).Check(vm)
	if len(problems) != 1 || problems[0].Attribute != "share[/copy]" || !strings.Contains(problems[0].Summary, "task") {
		t.Errorf("problems: %+v", problems)
	}
}

func TestHyperkitIsRefusedElsewhere(t *testing.T) {
	if runtime.GOOS == "darwin" && runtime.GOARCH == "amd64" {
		return // it runs here
	}
	d := hyperkit.New(hyperkit.Settings{})
	problems := d.Check(spec.VM{CPUs: 1})
	if len(problems) != 1 || problems[0].Attribute != "driver" || !strings.Contains(problems[0].Summary, "Intel Macs only") {
		t.Errorf("problems: %+v", problems)
	}
	if findings := d.Diagnose(t.Context()); len(findings) != 0 {
		t.Errorf("the doctor speaks of it: %+v", findings)
	}
}

func TestAutoIsHyperkitOnIntelMacsThatHaveIt(t *testing.T) {
	docker := "/Applications/Docker.app/Contents/Resources/bin/com.docker.hyperkit"
	for _, test := range []struct {
		goos, goarch, has string
		want              bool
	}{
		{"darwin", "amd64", "hyperkit", true}, {"darwin", "amd64", docker, true}, {"darwin", "amd64", "", false},
		{"darwin", "arm64", "hyperkit", false}, {"linux", "amd64", "hyperkit", false},
	} {
		got := hyperkit.Chosen(test.goos, test.goarch, func(name string) (string, error) {
			if name == test.has {
				return name, nil
			}
			return "", os.ErrNotExist
		})
		if got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
	}
}
