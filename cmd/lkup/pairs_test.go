package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/fake"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/porttest"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// TestPairs applies each stack of testdata/pairs as it was before, puts the
// files of after over it, and compares the plan, for people and for programs,
// with the archive. Then the law: what was planned is applied, and the next
// plan is empty. A pair holds, besides:
//
//	args       flags of plan and apply, one a line
//	drift      what happens behind lkup's back in between: kill, stop-forward
//	           or balloon, each with an address
//	error.txt  what plan says on stderr, if it refuses; then nothing is applied

func TestPairs(t *testing.T) {
	archives, err := filepath.Glob(filepath.Join("testdata", "pairs", "*.txtar"))
	if err != nil || len(archives) < 120 {
		t.Errorf("%d pairs, %v; want at least 120", len(archives), err)
	}
	for _, path := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			testPair(t, path)
		})
	}
}

func testPair(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := newPair(t)
	p.write("before", archive)
	p.must("apply", "-y")
	p.write("after", archive)
	for _, line := range strings.Fields(content(archive, "drift")) {
		p.drift(line)
	}
	args := strings.Fields(strings.ReplaceAll(content(archive, "args"), "DIR", p.dir))

	status, text, said := p.lkup(append([]string{"plan"}, args...)...)
	if !p.golden(archive, "error.txt", said) {
		t.Errorf("lkup plan: %s", said)
	}
	p.golden(archive, "plan.txt", text)
	if status != 0 {
		p.finish(path, archive)
		p.unchanged(args)
		return
	}
	_, program, _ := p.lkup(append([]string{"plan", "--json"}, args...)...)
	p.golden(archive, "plan.json", program)
	p.finish(path, archive)

	p.must(append([]string{"apply", "-y"}, args...)...)
	p.nowhere(archive)
	again := slices.DeleteFunc(args, func(arg string) bool { return strings.HasPrefix(arg, "--replace") })
	if status, text, said := p.lkup(append([]string{"plan", "--detailed-exitcode"}, again...)...); status != 0 {
		t.Errorf("applied, and still there is something to do (%d):\n%s%s", status, text, said)
	}
}

// pair is a project with a host of its own.
type pair struct {
	*testing.T
	dir  string
	env  map[string]string
	host Host
}

func newPair(t *testing.T) *pair {
	dir := t.TempDir()
	p := &pair{T: t, dir: filepath.Join(dir, "project"), env: map[string]string{
		"LKUP_STATE_DIR": filepath.Join(dir, "state"), "LKUP_CACHE_DIR": filepath.Join(dir, "cache"), "LKUP_RUNTIME_DIR": filepath.Join(dir, "run"),
		"LKUP_AUTO_PORTS": porttest.Of(t).Auto(),
	}}
	p.host = Host{
		In: strings.NewReader(""), Getenv: func(name string) string { return p.env[name] },
		Home: dir, TempDir: dir, UID: os.Getuid(), Arch: runtime.GOARCH, Now: time.Now,
		MoreDrivers: func(l layout.Layout) map[string]drivers.Driver {
			return map[string]drivers.Driver{"fake": p.driver(l), "rigid": rigid{fake.New(filepath.Join(l.Runtime, "rigid"))}}
		},
	}
	for name, fill := range map[string]byte{"disk.raw": 0, "other.raw": 1} { // images for a driver that boots nothing
		p.writeFile(name, bytes.Repeat([]byte{fill}, 4096))
	}
	return p
}

func (p *pair) driver(l layout.Layout) *fake.Driver {
	return fake.New(filepath.Join(l.Runtime, "fake"))
}

// rigid is a driver that can change nothing live.
type rigid struct{ drivers.Driver }

func (p *pair) writeFile(name string, content []byte) {
	p.Helper()
	path := filepath.Join(p.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		p.Fatal(err)
	}
}

// write writes the files of one side; an empty one is removed.
func (p *pair) write(side string, archive *txtar.Archive) {
	p.Helper()
	for _, f := range archive.Files {
		name, found := strings.CutPrefix(f.Name, side+"/")
		if !found {
			continue
		}
		p.writeFile(name, f.Data)
		if len(f.Data) == 0 {
			if err := os.Remove(filepath.Join(p.dir, name)); err != nil {
				p.Fatal(err)
			}
		}
	}
}

func (p *pair) lkup(args ...string) (status int, out, said string) {
	var stdout, stderr bytes.Buffer
	host := p.host
	host.Out, host.Err = &stdout, &stderr
	status = run(append(args[:1:1], append([]string{"-C", p.dir}, args[1:]...)...), host)
	return status, p.stable(stdout.String()), p.stable(stderr.String())
}

func (p *pair) must(args ...string) {
	p.Helper()
	if status, out, said := p.lkup(args...); status != 0 {
		p.Fatalf("lkup %s: %d\n%s%s", strings.Join(args, " "), status, out, said)
	}
}

var randomID = regexp.MustCompile(`"id": "[0-9a-f]{8}"`)

var fingerprint = regexp.MustCompile(`"digest": "[0-9a-f]{32}"`)

// stable takes out what differs from run to run.
func (p *pair) stable(text string) string {
	known, _, _ := p.known()
	for _, ports := range known.Ports {
		for _, port := range ports {
			text = strings.ReplaceAll(text, strconv.Itoa(port.Host), "AUTO")
		}
	}
	text = strings.ReplaceAll(text, p.dir, "PROJECT")
	text = fingerprint.ReplaceAllString(text, `"digest": "fingerprint"`)
	return randomID.ReplaceAllString(text, `"id": "........"`)
}

// nowhere demands that what the file token held is in no file of lkup's.
func (p *pair) nowhere(archive *txtar.Archive) {
	p.Helper()
	for _, side := range []string{"before", "after"} {
		secret := strings.TrimSpace(content(archive, side+"/token"))
		if secret == "" {
			continue
		}
		for _, name := range []string{"LKUP_STATE_DIR", "LKUP_CACHE_DIR", "LKUP_RUNTIME_DIR"} {
			if err := filepath.WalkDir(p.env[name], func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte(secret)) {
					p.Errorf("%s holds the secret %q, or cannot be read: %v", path, secret, err)
				}
				return nil
			}); err != nil && !errors.Is(err, fs.ErrNotExist) {
				p.Error(err)
			}
		}
		if bytes.Contains(archive.Files[len(archive.Files)-1].Data, []byte(secret)) {
			p.Errorf("the plan shows the secret %q", secret)
		}
	}
}

// known gives the state.
func (p *pair) known() (state.State, layout.Stack, bool) {
	all, err := state.List(p.host.Layout())
	if err != nil {
		p.Fatal(err)
	}
	for _, s := range all {
		return s, p.host.Layout().Stack(s.Stack, s.Project), true
	}
	return state.State{}, layout.Stack{}, false
}

// drift does WHAT=ADDRESS behind lkup's back.
func (p *pair) drift(line string) {
	p.Helper()
	what, address, _ := strings.Cut(line, "=")
	known, paths, _ := p.known()
	i, found := known.Instances[spec.Address(address)]
	if !found {
		p.Fatalf("no %s", address)
	}
	m, d := reconciler.Machine(i, paths, known.Project), p.driver(p.host.Layout())
	var err error
	switch what {
	case "kill":
		err = d.Kill(m)
	case "stop-forward":
		m.Ports = nil
		err = d.Forward(p.Context(), m)
	case "balloon":
		m.Memory = 64
		err = d.Balloon(p.Context(), m)
	case "delete":
		if err = d.Kill(m); err == nil {
			err = d.Delete(p.Context(), m)
		}
	case "edit-manifest":
		err = os.WriteFile(paths.Manifest(i.ID), []byte("{}"), 0o600)
	default:
		p.Fatalf("no drift %q", what)
	}
	if err != nil {
		p.Fatal(err)
	}
}

// golden compares a file of the archive with what it should be, or, to update
// it, notes what it is. It reports whether they are the same.
func (p *pair) golden(archive *txtar.Archive, name, got string) bool {
	p.Helper()
	want := content(archive, name)
	if got == want {
		return true
	}
	if *update {
		archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == name })
		if got != "" {
			archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(got)})
		}
		return true
	}
	p.Errorf("%s (-want +got):\n%s", name, cmp.Diff(want, got))
	return false
}

// finish writes an updated archive.
func (p *pair) finish(path string, archive *txtar.Archive) {
	if !*update {
		return
	}
	if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
		p.Fatal(err)
	}
}

// unchanged demands that a refused apply does nothing.
func (p *pair) unchanged(args []string) {
	p.Helper()
	before, _, _ := p.known()
	if status, _, _ := p.lkup(append([]string{"apply", "-y"}, args...)...); status == 0 {
		p.Error("plan refuses, and apply does not")
	}
	if after, _, _ := p.known(); before.Serial != after.Serial {
		p.Errorf("the state went from serial %d to %d", before.Serial, after.Serial)
	}
}

func content(archive *txtar.Archive, name string) string {
	for _, f := range archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}
