package view_test

import (
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

func psRows() []view.PsRow {
	three := 3
	return []view.PsRow{
		{
			Address: `vm.web["blue"]`, Name: "web-blue", ID: "1a2b3c4d", Status: drivers.Running, Ready: true, Driver: "qemu",
			Ports: []spec.Port{
				{Guest: 80, Host: 8080, Address: "127.0.0.1", Protocol: "tcp"},
				{Guest: 53, Host: 5353, Address: "::1", Protocol: "udp", Auto: true},
			},
			CPUs: 2, Memory: 1024, SSHPort: 40022, PID: 4711, Uptime: 26*time.Hour + 5*time.Minute,
		},
		{
			Address: "vm.db", Name: "db", ID: "00000002", Status: drivers.Stopped, Driver: "qemu", CPUs: 1, Memory: 256,
			Detail: "\x1b[31mthe guest powered itself off and nobody knows why it did so\nmore",
		},
		{Address: "vm.q", Name: "q", ID: "00000003", Status: drivers.Running, Driver: "qemu", CPUs: 1, Memory: 384, Uptime: 75 * time.Second},
		{Address: "vm.h", Name: "h", ID: "00000005", Status: drivers.Running, Ready: true, Health: "healthy", Driver: "qemu", CPUs: 1, Memory: 256, Uptime: time.Minute},
		{Address: "vm.i", Name: "i", ID: "00000006", Status: drivers.Running, Ready: true, Health: "unhealthy", Driver: "qemu", CPUs: 1, Memory: 256, Uptime: time.Minute},
		{Address: "vm.t", Name: "t", ID: "00000007", Status: drivers.Stopped, Kind: spec.KindTask, Exit: new(int), Driver: "qemu", CPUs: 1, Memory: 256},
		{Address: "vm.f", Name: "f", ID: "00000008", Status: drivers.Stopped, Kind: spec.KindTask, Exit: &three, Driver: "qemu", CPUs: 1, Memory: 256},
		{Address: "vm.x", Name: "x", ID: "00000004", Status: drivers.Unknown, Detail: "process 7 is not proven ours", Driver: "qemu", CPUs: 1, Memory: 256},
	}
}

func findings() []drivers.Finding {
	return []drivers.Finding{
		{Name: "qemu-system-x86_64", Level: drivers.OK, Detail: "QEMU 7.2.0, /usr/bin/qemu-system-x86_64"},
		{Name: "accelerator", Level: drivers.Warn, Detail: "software emulation: /dev/kvm is not there", Hint: "enable virtualisation in the firmware"},
		{Name: "state directory", Level: drivers.Fail, Detail: "cannot be written:\npermission denied", Hint: "chown me ~/.local/state\nor set LKUP_STATE_DIR"},
	}
}

func outputs() []view.OutputRow {
	return view.OutputsOf(map[string]spec.Output{
		"url":   {Value: "http://127.0.0.1:8080/?a=1&b=<2>", Known: true, Description: "The page."},
		"ports": {Value: map[string]any{"b": 2.0, "a": []any{1.0, true, nil}}, Known: true},
		"later": {},
		"token": {Value: "secret", Known: true, Sensitive: true},
		"evil":  {Value: "a\u202eb", Known: true},
	})
}

func TestTables(t *testing.T) {
	stacks := []view.LsRow{
		{Stack: "shop", ID: "shop-1a2b3c4d", Project: "/home/me/shop", Machines: 3, Running: 3},
		{Stack: "a", ID: "a-00000000", Project: "/tmp/é", Machines: 2},
	}
	version := view.Version{Version: "0.1.0", Go: "go1.26.0", Platform: "linux/amd64"}
	tests := []struct {
		name  string
		print func(*strings.Builder) error
	}{
		{"pulled.txt", func(b *strings.Builder) error {
			return view.PulledText(b, pipe, []view.StoreEntry{
				{Digest: "sha256:76632115d9d7aa", Kind: "image", Size: 116 << 20, Names: []string{"web.yml", "evil\x1b[31m"}},
				{Digest: "sha256:0123456789abcdef", Kind: "component", Size: 3},
			})
		}},
		{"ps.txt", func(b *strings.Builder) error { return view.PsText(b, pipe, psRows()) }},
		{"ps-color.txt", func(b *strings.Builder) error { return view.PsText(b, terminal, psRows()) }},
		{"ps-empty.txt", func(b *strings.Builder) error { return view.PsText(b, pipe, nil) }},
		{"ps.json", func(b *strings.Builder) error { return view.PsJSON(b, psRows()) }},
		{"ps-empty.json", func(b *strings.Builder) error { return view.PsJSON(b, nil) }},
		{"ls.txt", func(b *strings.Builder) error { return view.LsText(b, pipe, stacks) }},
		{"ls.json", func(b *strings.Builder) error { return view.LsJSON(b, stacks) }},
		{"ls-empty.json", func(b *strings.Builder) error { return view.LsJSON(b, nil) }},
		{"doctor.txt", func(b *strings.Builder) error { return view.DoctorText(b, pipe, findings()) }},
		{"doctor-color.txt", func(b *strings.Builder) error { return view.DoctorText(b, terminal, findings()) }},
		{"doctor.json", func(b *strings.Builder) error { return view.DoctorJSON(b, findings()) }},
		{"version.txt", func(b *strings.Builder) error { return view.VersionText(b, version) }},
		{"version.json", func(b *strings.Builder) error { return view.VersionJSON(b, version) }},
		{"outputs.txt", func(b *strings.Builder) error { return view.Outputs(b, pipe, outputs()) }},
		{"outputs.json", func(b *strings.Builder) error { return view.OutputsJSON(b, outputs()) }},
		{"outputs-recorded.txt", func(b *strings.Builder) error {
			return view.Outputs(b, pipe, view.OutputsOf(map[string]any{"n": 1.5, "s": "text", "none": nil}))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { golden(t, tt.name, printed(t, tt.print)) })
	}
}

func TestOutputValueIsReadyForScripts(t *testing.T) {
	tests := []struct {
		name   string
		value  any
		asJSON bool
		want   string
	}{
		{"text as it is", "a & b", false, "a & b\n"},
		{"text as JSON", "a & b", true, "\"a & b\"\n"},
		{"number", 8080.0, false, "8080\n"},
		{"list", []any{"x"}, false, "[\n  \"x\"\n]\n"},
		{"null", nil, false, "null\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := printed(t, func(b *strings.Builder) error { return view.OutputValue(b, tt.value, tt.asJSON) })
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestListAndCount(t *testing.T) {
	many := make([]spec.Address, 11)
	for i := range many {
		many[i] = spec.Address("vm." + string(rune('a'+i)))
	}
	tests := []struct{ name, got, want string }{
		{"none", view.List([]string{}), ""},
		{"one", view.List(many[:1]), "vm.a"},
		{"two", view.List(many[:2]), "vm.a and vm.b"},
		{"three", view.List(many[:3]), "vm.a, vm.b and vm.c"},
		{"many", view.List(many), "vm.a, vm.b, vm.c, vm.d, vm.e, vm.f, vm.g, vm.h and 3 more"},
		{"count none", view.Count(0, "machine"), "0 machines"},
		{"count one", view.Count(1, "machine"), "1 machine"},
		{"count two", view.Count(2, "machine"), "2 machines"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("got %q, want %q", tt.got, tt.want)
			}
		})
	}
}
