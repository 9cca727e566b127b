package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// slowRegistry holds back layers until it is opened, and counts what it gives.
type slowRegistry struct {
	*httptest.Server
	gate chan struct{}

	mu    sync.Mutex
	open  map[string]bool // digests of configurations, which are not held back
	gets  map[string]int  // of blobs, by path
	heads int             // of tags
}

func newSlowRegistry(t *testing.T) *slowRegistry {
	behind := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	r := &slowRegistry{gate: make(chan struct{}), gets: map[string]int{}, open: map[string]bool{}}
	pushing := true
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		if request.Method == http.MethodHead && strings.Contains(request.URL.Path, "/manifests/") {
			r.heads++
		}
		blob := request.Method == http.MethodGet && strings.Contains(request.URL.Path, "/blobs/")
		if blob {
			r.gets[request.URL.Path]++
		}
		wait := blob && !pushing && !r.open[path.Base(request.URL.Path)]
		r.mu.Unlock()
		if wait {
			select {
			case <-r.gate:
			case <-request.Context().Done():
				return
			}
		}
		behind.ServeHTTP(w, request)
	}))
	t.Cleanup(r.Close)
	for n, ref := range []string{"acme/kernel:1", "acme/init:1"} {
		image, err := random.Image(200_000, int64(n+1))
		if err != nil {
			t.Fatal(err)
		}
		to, err := name.ParseReference(strings.TrimPrefix(r.URL, "http://") + "/" + ref)
		if err != nil {
			t.Fatal(err)
		}
		whole := platform(t, image, ref)
		if err := remote.Write(to, whole); err != nil {
			t.Fatal(err)
		}
		config, err := whole.ConfigName()
		if err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		r.open[config.String()] = true
		r.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pushing, r.heads, r.gets = false, 0, map[string]int{}
	return r
}

func (r *slowRegistry) count() (heads int, gets map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	copied := map[string]int{}
	for blob, n := range r.gets {
		copied[blob] = n
	}
	return r.heads, copied
}

// inTime polls until ok, for at most a minute.
func inTime(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never %s", what)
		}
		<-tick.C
	}
}

// building is a lkup that builds a project's image.
type building struct {
	*exec.Cmd
	output *bytes.Buffer
}

// build starts lkup image pull in a new project, with a store that others
// share.
func (r *slowRegistry) build(t *testing.T, cache string) building {
	t.Helper()
	dir := t.TempDir()
	for file, content := range map[string]string{
		"lkup.hcl": "stack \"shop\" {}\n\ntemplate \"web\" {\n  file = \"web.yml\"\n}\n\nvm \"web\" {\n  image = template.web\n}\n",
		"web.yml":  "kernel:\n  image: acme/kernel:1\n  tar: none\ninit:\n  - acme/init:1\nfiles:\n  - path: etc/motd\n    contents: hello\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return r.lkup(t, cache, "image", "pull", "--json", "-C", dir)
}

func (r *slowRegistry) lkup(t *testing.T, cache string, args ...string) building {
	t.Helper()
	b := building{exec.Command("lkup", args...), &bytes.Buffer{}}
	b.Stdout, b.Stderr = b.output, b.output
	b.Env = append(os.Environ(), "LKUP_REGISTRY_MIRROR="+r.URL, "LKUP_CACHE_DIR="+cache,
		"LKUP_STATE_DIR="+filepath.Join(cache, "state"), "LKUP_RUNTIME_DIR="+filepath.Join(cache, "run"), "HOME="+cache)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b building) wait(t *testing.T) {
	t.Helper()
	if err := b.Wait(); err != nil {
		t.Fatalf("%v: %s", err, b.output)
	}
}

func TestTwoStacksThatBuildOneTemplateAtOnceBuildItOnce(t *testing.T) {
	r, cache := newSlowRegistry(t), t.TempDir()
	one, two := r.build(t, cache), r.build(t, cache)
	inTime(t, "both at work", func() bool {
		heads, gets := r.count()
		return heads >= 4 && len(gets) >= 2 // both resolved both refs, and somebody downloads
	})
	close(r.gate)
	one.wait(t)
	two.wait(t)
	_, gets := r.count()
	for blob, n := range gets {
		if n != 1 {
			t.Errorf("%s was fetched %d times", blob, n)
		}
	}
	for _, part := range []string{"unpack kernel", "pack acme/init:1", "pack files"} {
		n := strings.Count("\n"+one.output.String()+"\n"+two.output.String(), "\n"+part+"\n")
		if n != 1 {
			t.Errorf("%q was done %d times:\n%s\n%s", part, n, one.output, two.output)
		}
	}
}

// entries are the results in a store, by their folders.
func results(cache string) []string {
	names, _ := os.ReadDir(filepath.Join(cache, "store", "built"))
	var all []string
	for _, n := range names {
		all = append(all, n.Name())
	}
	return all
}

// TestABuildThatIsKilledIsDoneAgain kills builds with SIGKILL when so many
// parts are done, and lets the next one go on.
func TestABuildThatIsKilledIsDoneAgain(t *testing.T) {
	r := newSlowRegistry(t)
	clean, cache := t.TempDir(), t.TempDir()
	// The first is killed while it downloads.
	first := r.build(t, cache)
	inTime(t, "downloading", func() bool { _, gets := r.count(); return len(gets) > 0 })
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	close(r.gate)
	r.build(t, clean).wait(t)
	want := results(clean)
	for n := 1; n < len(want); n++ {
		b := r.build(t, cache)
		ended := make(chan struct{})
		go func() { _ = b.Wait(); close(ended) }()
		inTime(t, fmt.Sprint("built ", n), func() bool {
			select {
			case <-ended:
				return true
			default:
				return len(results(cache)) >= n
			}
		})
		_ = b.Process.Kill()
		<-ended
	}
	r.build(t, cache).wait(t)
	if diff := cmp.Diff(want, results(cache)); diff != "" {
		t.Errorf("the results of a build without a kill, and of one with:\n%s", diff)
	}
	verify := r.lkup(t, cache, "image", "verify")
	verify.wait(t)
	if !strings.Contains(verify.output.String(), " 0 damaged\n") {
		t.Errorf("%s", verify.output)
	}
}
