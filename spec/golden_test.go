package spec_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"golang.org/x/tools/txtar"

	"github.com/lkup/lkup/spec"
)

var update = flag.Bool("update", false, "write the goldens anew")

// TestGoldens loads the files of each archive in testdata. What comes out is
// the archive's last file: want.json for a stack, want.diagnostics for
// mistakes. inputs.json, if there is one, gives the inputs.
func TestGoldens(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { golden(t, name) })
	}
}

// TestMistakes shows all that a user sees of one mistake each.
func TestMistakes(t *testing.T) {
	archives, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil || len(archives) < 60 {
		t.Errorf("%d mistakes, %v; want at least 60", len(archives), err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			_, _, want := unpack(t, archive)
			if _, shown := want["want.diagnostics"]; !shown && !*update {
				t.Error("it is no mistake")
			}
			golden(t, name)
		})
	}
}

func golden(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	project, in, want := unpack(t, archive)
	stack, files, diags := spec.Load(project, in)
	got := map[string]string{}
	if stack != nil && filepath.Base(filepath.Dir(name)) != "mistakes" {
		got["want.json"] = shown(t, stack)
	}
	if len(diags) > 0 {
		got["want.diagnostics"] = rendered(t, files, diags)
	}
	if (stack == nil) != diags.HasErrors() {
		t.Errorf("stack is nil: %v, but errors: %v", stack == nil, diags.HasErrors())
	}
	if *update {
		rewrite(t, name, archive, got)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func unpack(t *testing.T, archive *txtar.Archive) (fs.FS, spec.Inputs, map[string]string) {
	t.Helper()
	project := fstest.MapFS{}
	in := inputs()
	want := map[string]string{}
	for _, f := range archive.Files {
		switch {
		case f.Name == "inputs.json":
			readInputs(t, f.Data, &in)
		case strings.HasPrefix(f.Name, "want."):
			want[f.Name] = string(f.Data)
		case strings.HasPrefix(f.Name, "vars/"):
			in.Given = append(in.Given, spec.Given{File: f.Name, Content: f.Data})
		default:
			project[f.Name] = &fstest.MapFile{Data: f.Data}
		}
	}
	return project, in, want
}

// readInputs reads inputs, and host ports by the form of a key: 80 or 53/udp.
func readInputs(t *testing.T, data []byte, in *spec.Inputs) {
	t.Helper()
	var ports struct {
		HostPorts map[spec.Address]map[string]int
		Vars      map[string]string
	}
	if err := json.Unmarshal(data, in); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &ports); err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(ports.Vars)) {
		in.Given = append(in.Given, spec.Given{Name: name, Text: ports.Vars[name]})
	}
	in.Facts.HostPorts = map[spec.Address]map[spec.PortKey]int{}
	for vm, byKey := range ports.HostPorts {
		in.Facts.HostPorts[vm] = map[spec.PortKey]int{}
		for key, host := range byKey {
			guest, protocol, found := strings.Cut(key, "/")
			if !found {
				protocol = "tcp"
			}
			number, err := strconv.Atoi(guest)
			if err != nil {
				t.Fatal(err)
			}
			in.Facts.HostPorts[vm][spec.PortKey{Guest: number, Protocol: protocol}] = host
		}
	}
}

func inputs() spec.Inputs {
	return spec.Inputs{
		DefaultName: "shop",
		Version:     "0.2.0",
		Drivers:     []string{"qemu", "hyperkit"},
		Builtins:    []string{"dev", "docker", "minimal", "web"},
		Sources:     []string{"file", "https", "oci", "github", "apt"},
	}
}

// shown is a stack as JSON, with what its own JSON leaves out.
func shown(t *testing.T, s *spec.Stack) string {
	t.Helper()
	type vm struct {
		spec.VM
		Unknown []string          `json:"unknown,omitempty"`
		Origins map[string]string `json:"origins"`
	}
	vms := map[spec.Address]vm{}
	for a, v := range s.VMs {
		origins := map[string]string{}
		for path, pos := range v.Origins {
			origins[path] = pos.String() + ":" + strconv.Itoa(pos.Column)
		}
		vms[a] = vm{VM: v, Unknown: v.Unknown, Origins: origins}
	}
	inputs := map[string]string{}
	for key, in := range s.Inputs {
		inputs[key] = strings.TrimSpace(fmt.Sprintf("%q %s %s", in.Content, in.Origin, strings.Join(in.From, " ")))
		if in.Sensitive {
			inputs[key] += " (sensitive)"
		}
	}
	from := map[string]string{}
	for pos, keys := range s.From {
		from[pos.String()+":"+strconv.Itoa(pos.Column)] = strings.Join(keys, " ")
	}
	view := struct {
		Name     string
		Images   map[spec.Address]spec.Image
		VMs      map[spec.Address]vm
		Volumes  map[spec.Address]spec.Volume `json:",omitempty"`
		Devenvs  map[spec.Address]spec.Devenv `json:",omitempty"`
		Outputs  map[string]spec.Output
		Moved    []spec.Moved        `json:",omitempty"`
		Removed  []spec.Removed      `json:",omitempty"`
		Imports  []spec.Import       `json:",omitempty"`
		Checks   []spec.Check        `json:",omitempty"`
		Secrets  []spec.SecretSource `json:",omitempty"`
		Profiles []string            `json:",omitempty"`
		Inputs   map[string]string   `json:",omitempty"`
		From     map[string]string   `json:",omitempty"`
		Files    []string
	}{
		s.Name, s.Images, vms, s.Volumes, s.Devenvs, s.Outputs, s.Moved, s.Removed, s.Imports, s.Checks, s.Secrets, s.Profiles,
		inputs, from, s.Files,
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(view); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func rendered(t *testing.T, files map[string]*hcl.File, diags hcl.Diagnostics) string {
	t.Helper()
	var out bytes.Buffer
	if err := hcl.NewDiagnosticTextWriter(&out, files, 100, false).WriteDiagnostics(diags); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func rewrite(t *testing.T, name string, archive *txtar.Archive, got map[string]string) {
	t.Helper()
	kept := archive.Files[:0]
	for _, f := range archive.Files {
		if !strings.HasPrefix(f.Name, "want.") {
			kept = append(kept, f)
		}
	}
	archive.Files = kept
	for _, want := range []string{"want.json", "want.diagnostics"} {
		if text, ok := got[want]; ok {
			archive.Files = append(archive.Files, txtar.File{Name: want, Data: []byte(text)})
		}
	}
	if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
