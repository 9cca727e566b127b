package store_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// future is later than everything that a test stores.
func future() time.Time { return time.Now().Add(time.Hour) }

// madeStore is a store with random content, and what was made of what.
type madeStore struct {
	t          *testing.T
	s          *store.Store
	r          *rand.Rand
	refs       map[sources.Digest][]sources.Digest
	components []sources.Digest
}

func (m *madeStore) some(of []sources.Digest) []sources.Digest {
	var some []sources.Digest
	for _, d := range of {
		if m.r.IntN(3) == 0 {
			some = append(some, d)
		}
	}
	return some
}

func (m *madeStore) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// layer is a layer of one file.
func (m *madeStore) layer(name string) sources.Digest {
	key := store.Key("layer", name)
	m.must(m.s.BuildLayer(context.Background(), key, func(w *tar.Writer) error {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755})
	}))
	m.refs[key] = nil
	return key
}

// component is a list of archives, and the unpacked form, as package apt has
// them.
func (m *madeStore) component(name string, archives, layers []sources.Digest) sources.Digest {
	list, err := m.s.Put(context.Background(), fmt.Appendf(nil, `{"name":%q,"archives":%q}`, name, hexOf(archives)))
	m.must(err)
	key := store.Key("component", string(list))
	_, err = m.s.BuildImage(context.Background(), key, "amd64", v1.Config{}, func() ([]sources.Digest, error) { return layers, nil })
	m.must(err)
	m.must(m.s.Note(list, store.Note{Kind: store.Component, Names: []string{name}, Refs: []sources.Digest{key}}))
	m.refs[list], m.refs[key] = append(slices.Clone(archives), key), layers
	m.components = append(m.components, key)
	return list
}

func hexOf(digests []sources.Digest) []string {
	var all []string
	for _, d := range digests {
		all = append(all, d.Hex())
	}
	return all
}

// image is a result whose record names its parts.
func (m *madeStore) image(name string, parts []sources.Digest) sources.Digest {
	key := store.Key("image", name)
	_, err := m.s.Build(context.Background(), key, func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "image.json"), fmt.Appendf(nil, `{"initrds":%q}`, parts), 0o600)
	})
	m.must(err)
	m.refs[key] = parts
	return key
}

func (m *madeStore) part(name string) sources.Digest {
	key := store.Key("part", name)
	_, err := m.s.Build(context.Background(), key, func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "segment"), []byte(name), 0o600)
	})
	m.must(err)
	m.refs[key] = nil
	return key
}

// foreign is an image as a registry has it: a manifest that names a
// configuration, which names its layers by what they hold.
func (m *madeStore) foreign(name string, layers []sources.Digest) sources.Digest {
	var diffIDs []string
	for _, l := range layers {
		dir, _ := m.s.Built(l)
		content, err := os.ReadFile(filepath.Join(dir, "diffid"))
		m.must(err)
		diffIDs = append(diffIDs, string(content))
	}
	config, err := m.s.Put(context.Background(), fmt.Appendf(nil, `{"name":%q,"diff_ids":%q}`, name, diffIDs))
	m.must(err)
	manifest, err := m.s.Put(context.Background(), fmt.Appendf(nil, `{"config":{"digest":%q}}`, config))
	m.must(err)
	m.refs[manifest], m.refs[config] = []sources.Digest{config}, layers
	return manifest
}

func randomStore(t *testing.T, seed uint64) *madeStore {
	m := &madeStore{t: t, s: open(t), r: rand.New(rand.NewPCG(seed, seed)), refs: map[sources.Digest][]sources.Digest{}}
	var layers, archives, parts []sources.Digest
	for i := range 2 + m.r.IntN(5) {
		layers = append(layers, m.layer(fmt.Sprint("l", i)))
		parts = append(parts, m.part(fmt.Sprint("p", i)))
		archive, err := m.s.Put(context.Background(), fmt.Appendf(nil, "archive %d", i))
		m.must(err)
		m.refs[archive] = nil
		archives = append(archives, archive)
	}
	for i := range 1 + m.r.IntN(4) {
		m.component(fmt.Sprint("apt:c", i), m.some(archives), m.some(layers))
		m.image(fmt.Sprint("i", i), m.some(parts))
		m.foreign(fmt.Sprint("f", i), m.some(layers))
	}
	return m
}

// reachable follows what the store was made of, not what it found out.
func (m *madeStore) reachable(roots []sources.Digest) map[sources.Digest]bool {
	seen := map[sources.Digest]bool{}
	for len(roots) > 0 {
		d := roots[0]
		roots = roots[1:]
		if !seen[d] {
			seen[d] = true
			roots = append(roots, m.refs[d]...)
		}
	}
	return seen
}

// alone closes a store and opens it alone.
func alone(t *testing.T, s *store.Store) *store.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := store.OpenAlone(ctx, s.Dir("."))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestPruningKeepsEveryPartOfWhatIsLive is a law: whatever the store holds,
// what lives stays whole, the rest goes, and one that stops halfway leaves
// nothing without its parts.
func TestPruningKeepsEveryPartOfWhatIsLive(t *testing.T) {
	for seed := range uint64(20) {
		m := randomStore(t, seed)
		s := alone(t, m.s)
		all := slices.Sorted(maps.Keys(m.refs))
		live := m.some(all)
		graph, err := s.Entries()
		m.must(err)
		if diff := cmp.Diff(all, graph.Digests()); diff != "" {
			t.Fatalf("seed %d: entries (-made +found)\n%s", seed, diff)
		}
		doomed := graph.Unneeded(live, future())
		half := m.r.IntN(len(doomed) + 1)
		m.must(s.Remove(doomed[:half]...))
		left, err := s.Entries()
		m.must(err)
		for d := range left {
			for _, r := range m.refs[d] {
				if _, here := left[r]; !here {
					t.Fatalf("seed %d: %s is there without its part %s", seed, d, r)
				}
			}
		}
		m.must(s.Remove(doomed[half:]...))
		m.must(s.Sweep())
		want := m.reachable(live)
		left, err = s.Entries()
		m.must(err)
		if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), left.Digests()); diff != "" {
			t.Fatalf("seed %d: after pruning (-want +got)\n%s", seed, diff)
		}
		for _, c := range m.components {
			if !want[c] {
				continue
			}
			image, err := s.BuildImage(context.Background(), c, "amd64", v1.Config{}, func() ([]sources.Digest, error) {
				return nil, errors.New("it was to be there")
			})
			m.must(err)
			m.must(validate.Image(image))
		}
		for _, folder := range []string{"tmp", "locks", "pins"} {
			if names, err := os.ReadDir(s.Dir(folder)); err != nil || len(names) > 0 && folder != "locks" {
				t.Errorf("seed %d: left in %s: %v, %v", seed, folder, names, err)
			}
		}
	}
}

func TestWhatWasUsedLatelyStaysWithItsParts(t *testing.T) {
	m := &madeStore{t: t, s: open(t), refs: map[sources.Digest][]sources.Digest{}}
	part, other := m.part("a"), m.part("b")
	image := m.image("i", []sources.Digest{part})
	old := time.Now().Add(-48 * time.Hour)
	for _, d := range []sources.Digest{part, other} {
		dir, _ := m.s.Built(d)
		m.must(os.Chtimes(dir, old, old))
	}
	graph, err := m.s.Entries()
	m.must(err)
	doomed := graph.Unneeded(nil, time.Now().Add(-24*time.Hour))
	if len(doomed) != 1 || doomed[0].Digest != other {
		t.Errorf("want only %s to go, got %v", other, doomed)
	}
	dir, _ := m.s.Built(image)
	m.must(os.Chtimes(dir, old, old))
	graph, err = m.s.Entries()
	m.must(err)
	if doomed = graph.Unneeded(nil, time.Now().Add(-24*time.Hour)); len(doomed) != 3 {
		t.Errorf("want all three to go, got %v", doomed)
	}
	m.s.Built(image) // is a use
	graph, err = m.s.Entries()
	m.must(err)
	if doomed = graph.Unneeded(nil, time.Now().Add(-24*time.Hour)); len(doomed) != 1 {
		t.Errorf("want only %s to go, got %v", other, doomed)
	}
}

func TestNothingIsDeletedFromAStoreThatOthersHaveOpen(t *testing.T) {
	s := open(t)
	d, err := s.Put(context.Background(), []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	graph, err := s.Entries()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(graph[d]); err == nil {
		t.Error("it was deleted")
	}
	if err := s.Sweep(); err == nil {
		t.Error("it was swept")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := store.OpenAlone(ctx, s.Dir(".")); !errors.Is(err, store.ErrInUse) {
		t.Errorf("want %v, got %v", store.ErrInUse, err)
	}
}

// useAsChild builds images, and checks until it lets go of the store that
// nobody takes a part away.
func useAsChild(dir string) error {
	name := os.Getenv("STORE_TEST_NAME")
	for n := range 40 {
		s, err := store.Open(dir)
		if err != nil {
			return err
		}
		var dirs []string
		for _, part := range []string{"shared", fmt.Sprint(name, n), fmt.Sprint("of all ", n)} {
			built, err := s.Build(context.Background(), store.Key(part), func(dir string) error {
				return os.WriteFile(filepath.Join(dir, "a"), []byte(part), 0o600)
			})
			if err != nil {
				return err
			}
			dirs = append(dirs, built)
		}
		for range 20 {
			for _, built := range dirs {
				if _, err := os.Stat(filepath.Join(built, "a")); err != nil {
					return fmt.Errorf("a part was taken away: %w", err)
				}
			}
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

func TestPruningWhileOtherProcessesBuildTakesNothingFromThem(t *testing.T) {
	dir := t.TempDir()
	done := make(chan error)
	const children = 3
	for n := range children {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STORE_TEST_USE="+dir, fmt.Sprint("STORE_TEST_NAME=", n))
		var problems bytes.Buffer
		cmd.Stderr = io.Writer(&problems)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		go func() {
			if err := cmd.Wait(); err != nil {
				done <- fmt.Errorf("%w: %s", err, problems.String())
				return
			}
			done <- nil
		}()
	}
	deadline := time.Now().Add(time.Minute)
	removed, ended := 0, 0
	for ended < children {
		select {
		case err := <-done:
			ended++
			if err != nil {
				t.Error(err)
			}
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the builders do not end")
		}
		n, err := pruneAll(dir)
		if err != nil && !errors.Is(err, store.ErrInUse) {
			t.Fatal(err)
		}
		removed += n
	}
	if removed == 0 {
		t.Error("nothing was ever pruned")
	}
}

func pruneAll(dir string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	s, err := store.OpenAlone(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	graph, err := s.Entries()
	if err != nil {
		return 0, err
	}
	doomed := graph.Unneeded(nil, future())
	return len(doomed), errors.Join(s.Remove(doomed...), s.Sweep())
}
