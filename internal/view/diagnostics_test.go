package view_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"

	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

const badStack = `vm "a" {
  image  = image.dsk
  /* ` + "\x1b[2J" + ` */ memory = 512
  cpu    = 2 # ` + "\x1b[2J" + `
}

vm "b" {
  image  = "file:disk.raw"
  env    = { X = var.nothing }
}

variable "unused" {
  default = 1
}
`

func diagnostics(t *testing.T) (map[string]*hcl.File, hcl.Diagnostics) {
	t.Helper()
	_, files, diags := spec.Load(fstest.MapFS{"lkup.hcl": {Data: []byte(badStack)}}, spec.Inputs{DefaultName: "s"})
	if !diags.HasErrors() {
		t.Fatal("no errors")
	}
	return files, diags
}

func TestDiagnostics(t *testing.T) {
	files, diags := diagnostics(t)
	noFile := hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "No stack file", Detail: "There is none."}}
	tests := []struct {
		name  string
		style view.Style
		diags hcl.Diagnostics
	}{
		{"diagnostics.txt", pipe, diags},
		{"diagnostics-color.txt", terminal, diags},
		{"diagnostics-narrow.txt", view.Style{Width: 50}, diags},
		{"diagnostics-no-file.txt", terminal, noFile},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			view.Diagnostics(&out, tt.style, files, tt.diags)
			golden(t, tt.name, out.String())
			if strings.Contains(out.String(), "\x1b[2J") {
				t.Error("a stack file cleared the screen")
			}
		})
	}
}

func TestDiagnosticsJSON(t *testing.T) {
	_, diags := diagnostics(t)
	golden(t, "diagnostics.json", printed(t, func(b *strings.Builder) error { return view.DiagnosticsJSON(b, diags) }))
	golden(t, "diagnostics-valid.json", printed(t, func(b *strings.Builder) error { return view.DiagnosticsJSON(b, nil) }))
}

func TestError(t *testing.T) {
	start := &reconciler.StartError{
		Err:     errors.New("not ready after 2m0s"),
		Reached: reconciler.StageKernel,
		Waiting: []string{"http http://localhost:80/: connection refused"},
		Cause:   `the guest ran out of memory; give it more with memory = "512MiB"`,
		Console: []string{"[    0.1] Linux version 6.1\r", "\x1b[31mOut of memory\x1b]0;x\x07"},
		Command: "qemu-system-x86_64 -nodefaults \\\n  -m 128",
		Running: true,
	}
	dead := &reconciler.StartError{Err: errors.New("exit status 1"), Command: "qemu-system-x86_64"}
	several := errors.Join(
		fmt.Errorf("create vm.web: %w", start),
		errors.Join(fmt.Errorf("start vm.db: %w", dead), errors.New("delete vm.x: no space left on device")),
	)
	wrapsTwo := fmt.Errorf("read %w, then %w", errors.New("a"), errors.New("b"))
	tests := []struct {
		name  string
		style view.Style
		err   error
	}{
		{"error-plain.txt", pipe, errors.New("there is no directory /x; name the project's with -C DIR")},
		{"error-two-causes.txt", pipe, wrapsTwo},
		{"error-several.txt", pipe, several},
		{"error-several-color.txt", terminal, several},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			view.Error(&out, tt.style, tt.err)
			golden(t, tt.name, out.String())
		})
	}
}
