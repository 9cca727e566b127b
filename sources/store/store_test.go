package store_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// TestMain lets the test binary be one of several builders.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_BUILD_IN"); dir != "" {
		if err := buildAsChild(dir, os.Getenv("STORE_TEST_DIE") != ""); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv("STORE_TEST_USE"); dir != "" {
		if err := useAsChild(dir); err != nil {
			_, _ = io.WriteString(os.Stderr, err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var childKey = store.Key("child")

// buildAsChild builds one result and notes that it did. With die it stops
// halfway, as if killed.
func buildAsChild(dir string, die bool) error {
	s, err := store.Open(filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("ready\n"); err != nil {
		return err
	}
	built, err := s.Build(context.Background(), childKey, func(result string) error {
		log, err := os.OpenFile(filepath.Join(dir, "builds"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if _, err := log.WriteString("built\n"); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(result, "a"), []byte("half"), 0o600); err != nil {
			return err
		}
		if die {
			os.Exit(9)
		}
		if _, err := io.Copy(io.Discard, os.Stdin); err != nil { // until the others want it too
			return err
		}
		return os.WriteFile(filepath.Join(result, "a"), []byte("whole"), 0o600)
	})
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(built, "a"))
	if err == nil && string(content) != "whole" {
		err = errors.New("saw half a result: " + string(content))
	}
	return err
}

func child(dir string, env ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append(env, "STORE_TEST_BUILD_IN="+dir)...)
	cmd.Stderr = &bytes.Buffer{}
	return cmd
}

func open(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestProcessesThatWantOneThingBuildItOnce(t *testing.T) {
	dir := t.TempDir()
	var children []*exec.Cmd
	var stdins []io.Closer
	for range 4 {
		cmd := child(dir)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(stdout, make([]byte, len("ready\n"))); err != nil {
			t.Fatal(err)
		}
		children, stdins = append(children, cmd), append(stdins, stdin)
	}
	for _, stdin := range stdins {
		if err := stdin.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, cmd := range children {
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, cmd.Stderr)
		}
	}
	log, err := os.ReadFile(filepath.Join(dir, "builds"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("built\n", string(log)); diff != "" {
		t.Error(diff)
	}
}

func TestABuilderThatDiesLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	var exit *exec.ExitError
	if err := child(dir, "STORE_TEST_DIE=1").Run(); !errors.As(err, &exit) || exit.ExitCode() != 9 {
		t.Fatalf("the child was to die: %v", err)
	}
	s, err := store.Open(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Built(childKey); ok {
		t.Error("half a result counts as built")
	}
	if err := buildAsChild(dir, false); err != nil {
		t.Error(err)
	}
	left, err := os.ReadDir(s.Dir("tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
}

func TestABuildThatFailsIsTriedAgain(t *testing.T) {
	s, key := open(t), store.Key("x")
	broken := errors.New("broken")
	if _, err := s.Build(context.Background(), key, func(string) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, ok := s.Built(key); ok {
		t.Error("a failed build counts as built")
	}
	dir, err := s.Build(context.Background(), key, func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "f"))
	if err != nil || info.Mode().Perm() != 0o444 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestWaitingForAnotherBuilderEndsWithTheContext(t *testing.T) {
	s, key := open(t), store.Key("x")
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Locked(context.Background(), key, func(string) error {
		cancel()
		return s.Locked(ctx, key, func(string) error { return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestContentOfAnotherDigestIsRefused(t *testing.T) {
	s, ctx := open(t), context.Background()
	d, err := s.Put(ctx, []byte("right"))
	if err != nil {
		t.Fatal(err)
	}
	other := store.Key("something else")
	if _, err := s.Fetch(ctx, other, func(path string) error { return os.WriteFile(path, []byte("wrong"), 0o600) }); err == nil {
		t.Error("wrong content was taken")
	}
	if _, ok := s.Blob(other); ok {
		t.Error("wrong content was stored")
	}
	for folder, want := range map[string]int{"tmp": 0, "blobs/sha256": 1, "built": 0} {
		if left, err := os.ReadDir(s.Dir(folder)); err != nil || len(left) != want {
			t.Errorf("%v left in %s, %v", left, folder, err)
		}
	}
	got, err := s.Get(d)
	if err != nil || string(got) != "right" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := s.Get(other); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestADigestFromOutsideIsNoPath(t *testing.T) {
	s := open(t)
	for _, d := range []sources.Digest{"", "sha256:../../etc/passwd", "../x"} {
		if _, ok := s.Blob(d); ok {
			t.Errorf("%q is a blob", d)
		}
		if _, ok := s.Built(d); ok {
			t.Errorf("%q is built", d)
		}
		if _, err := s.Get(d); err == nil {
			t.Errorf("%q can be read", d)
		}
		if err := s.Locked(context.Background(), d, func(string) error { return nil }); err == nil {
			t.Errorf("%q can be locked", d)
		}
	}
}

func TestPinsAreFoundByRefAndCircumstances(t *testing.T) {
	s, d := open(t), store.Key("x")
	if err := s.Pin(d, "apt:a", "amd64"); err != nil {
		t.Fatal(err)
	}
	if got, ok := s.Pinned("apt:a", "amd64"); !ok || got != d {
		t.Errorf("got %q", got)
	}
	for _, miss := range [][]string{{"apt:a", "arm64"}, {"apt:a"}, {"apt:b", "amd64"}, {"apt:aamd64"}} {
		if got, ok := s.Pinned(miss[0], miss[1:]...); ok {
			t.Errorf("%v is pinned to %s", miss, got)
		}
	}
	if err := s.Unpin("apt:a", "amd64"); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Pinned("apt:a", "amd64"); ok {
		t.Error("still pinned")
	}
}

func TestADamagedPinCountsAsNone(t *testing.T) {
	s := open(t)
	if err := s.Pin(store.Key("x"), "apt:a"); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(s.Dir("pins/*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, damaged := range []string{"", "{", `{"digest":"../../x"}`} {
		if err := os.WriteFile(files[0], []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if d, ok := s.Pinned("apt:a"); ok {
			t.Errorf("%q is pinned to %q", damaged, d)
		}
	}
}

func TestAnImageIsValidByOCIsRules(t *testing.T) {
	s, ctx := open(t), context.Background()
	layer := store.Key("layer")
	image, err := s.BuildImage(ctx, store.Key("image"), "amd64", v1.Config{Cmd: []string{"/x"}}, func() ([]sources.Digest, error) {
		return []sources.Digest{layer}, s.BuildLayer(ctx, layer, func(w *tar.Writer) error {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "x", Mode: 0o755, Size: 2}); err != nil {
				return err
			}
			_, err := w.Write([]byte("hi"))
			return err
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(image); err != nil {
		t.Error(err)
	}
}

func TestASparseCopyIsEqual(t *testing.T) {
	for _, content := range []string{"", "x", strings.Repeat("\x00", 200_000), strings.Repeat("\x00", 100_000) + "x" + strings.Repeat("\x00", 70_000)} {
		path := filepath.Join(t.TempDir(), "copy")
		if err := store.CopySparse(path, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("%d bytes became %d, %v", len(content), len(got), err)
		}
	}
}
