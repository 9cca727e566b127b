package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/watcher"
)

// followed is a project that is looked at as lkup watch does, but never at
// everything: only the events can tell what happened.
type followed struct {
	t       *testing.T
	dir     string
	wake    *waker
	scanner watcher.Scanner
	seen    watcher.Snapshot
}

func follow(t *testing.T) *followed {
	dir := t.TempDir()
	wake, err := newWaker(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wake.close)
	f := &followed{t: t, dir: dir, wake: wake, scanner: watcher.Scanner{Project: os.DirFS(dir), ID: inode}}
	f.look(look{all: true})
	return f
}

func (f *followed) look(l look) {
	f.t.Helper()
	seen, err := f.wake.settle(f.scanner, f.seen, l, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	f.seen = seen
}

// rest looks until what was seen is what there is, which must be once the
// events of what was done have come.
func (f *followed) rest(done string) (looks int) {
	f.t.Helper()
	limit, cancel := context.WithTimeout(f.t.Context(), 10*time.Second)
	defer cancel()
	for {
		want, err := f.scanner.Scan(nil)
		if err != nil {
			f.t.Fatal(err)
		}
		diff := cmp.Diff(want, f.seen)
		if diff == "" {
			return looks
		}
		l, more := f.wake.wait(limit, false)
		if !more {
			f.t.Fatalf("after %s, no event tells of this:\n%s", done, diff)
		}
		l.all = false
		f.look(l)
		looks++
	}
}

func TestWhateverHappensToFilesIsSeenByItsEvents(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f := follow(t)
			random := rand.New(rand.NewPCG(seed, 1))
			for range 12 {
				var done string
				for range 1 + random.IntN(12) {
					done += disturb(f.dir, random) + "; "
				}
				f.rest(done)
			}
		})
	}
}

// disturb does one random thing to a project, and says what. Names are few, so
// that directories come back under old names, and with old inode numbers.
func disturb(dir string, random *rand.Rand) string {
	name := func() string {
		name := []string{"a", "b", "x"}[random.IntN(3)]
		for range random.IntN(3) {
			name = filepath.Join([]string{"a", "b"}[random.IntN(2)], name)
		}
		return name
	}
	one, two := filepath.Join(dir, name()), filepath.Join(dir, name())
	switch random.IntN(6) {
	case 0, 1:
		return fmt.Sprint("mkdir ", one, os.MkdirAll(one, 0o700))
	case 2:
		return fmt.Sprint("write ", one, os.WriteFile(one, fmt.Append(nil, random.Int()), 0o600))
	case 3:
		return fmt.Sprint("remove ", one, os.RemoveAll(one))
	case 4:
		return fmt.Sprint("rename ", one, " ", two, os.Rename(one, two))
	default: // away and back: the same directory under the same name
		away := filepath.Join(dir, "away")
		return fmt.Sprint("away and back ", one, os.Rename(one, away), os.Rename(away, one), os.WriteFile(filepath.Join(one, "x"), nil, 0o600))
	}
}

// TestACheckoutOfAThousandFilesIsOneChange: of another branch, by git itself.
// It is one round, or a few if the computer is slow.
func TestACheckoutOfAThousandFilesIsOneChange(t *testing.T) {
	f := follow(t)
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", f.dir, "-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "gc.auto=0"}, args...)...)
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, said)
		}
	}
	write := func(content string) {
		for d := range 20 {
			dir := filepath.Join(f.dir, "src", fmt.Sprint(d))
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			for n := range 50 {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		git("add", ".")
		git("commit", "-q", "-m", content)
	}
	git("init", "-q", "-b", "main")
	write("one")
	git("checkout", "-q", "-b", "other")
	write("another")
	f.rest("two branches")
	for _, branch := range []string{"main", "other"} {
		before := f.seen
		git("checkout", "-q", branch)
		if looks := f.rest("git checkout " + branch); looks > 5 {
			t.Errorf("%d looks", looks)
		}
		changes := watcher.Compare(before, f.seen)
		if len(changes) != 1000 || changes[0].Kind != watcher.Edited {
			t.Errorf("%d changes, the first is %+v", len(changes), changes[0])
		}
	}
}

// TestALookTellsOfEventsThatWereLost: the system says so, and then everything
// is looked at.
func TestALookTellsOfEventsThatWereLost(t *testing.T) {
	f := follow(t)
	f.wake.add(func(t *told) { t.lost = true })
	if l, more := f.wake.wait(t.Context(), false); !more || !l.all {
		t.Errorf("got %+v, %t", l, more)
	}
}
