package oci_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/oci"
	"github.com/lkup/lkup/sources/sourcetest"
)

func TestARegistryPassesTheContract(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "web:1", image(t, "amd64", "bin/web", "etc/web"))
	s.push(t, "web:arm", image(t, "arm64", "bin/web"))
	sourcetest.Components(t, sourcetest.ComponentsCase{
		New: func(t *testing.T) sources.Components { return newComponents(t, oci.Settings{}) },
		Ref: "oci:" + s.host() + "/web:1", Arch: "amd64", Files: []string{"bin/web", "etc/web"},
		Bad: map[string]string{
			"oci:":                             "write NAME:TAG",
			"oci:UPPER":                        "write NAME:TAG",
			"oci:" + s.host() + "/nothing:1":   "has no such image",
			"oci:" + s.host() + "/web:2":       "has no such image",
			"oci:" + s.host() + "/web:arm":     "an image for linux/arm64, and the guest is linux/amd64",
			s.host() + "/web@sha256:" + ones(): "has no such image",
		},
	})
}

func ones() string { return strings.Repeat("1", 64) }

func TestAnIndexGivesTheImageOfTheArchitecture(t *testing.T) {
	s, ctx := newServer(t, httptest.NewServer), context.Background()
	images := map[string]v1.Image{"amd64": image(t, "amd64", "for-amd64"), "arm64": image(t, "arm64", "for-arm64")}
	all := index(t, images)
	s.pushIndex(t, "tools/web:1", all)
	digest, err := all.Digest()
	if err != nil {
		t.Fatal(err)
	}
	components := newComponents(t, oci.Settings{})
	for _, ref := range []string{
		s.host() + "/tools/web:1", "oci:" + s.host() + "/tools/web:1",
		s.host() + "/tools/web@" + digest.String(), s.host() + "/tools/web:other@" + digest.String(),
	} {
		for arch, want := range images {
			got, err := components.Resolve(ctx, ref, arch)
			if err != nil {
				t.Fatal(err)
			}
			d, err := want.Digest()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sources.Digest(d.String()), got); diff != "" {
				t.Errorf("%s for %s: %s", ref, arch, diff)
			}
			if _, err := components.Image(ctx, ref, arch, got, nil); err != nil {
				t.Errorf("%s for %s: %v", ref, arch, err)
			}
		}
		if _, err := components.Resolve(ctx, ref, "riscv64"); err == nil || !strings.Contains(err.Error(), "no image for linux/riscv64; it has linux/amd64, linux/arm64") {
			t.Errorf("got %v", err)
		}
	}
}

func TestAnIndexInAnIndexIsLookedInto(t *testing.T) {
	s, ctx := newServer(t, httptest.NewServer), context.Background()
	arm := image(t, "arm64", "for-arm64")
	d, err := arm.Digest()
	if err != nil {
		t.Fatal(err)
	}
	deep := index(t, map[string]v1.Image{"arm64": arm})
	for range 3 {
		deep = mutate.AppendManifests(index(t, map[string]v1.Image{"amd64": image(t, "amd64", "for-amd64")}), mutate.IndexAddendum{Add: deep})
	}
	s.pushIndex(t, "deep:3", deep)
	s.pushIndex(t, "deep:4", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: deep}))
	wide := v1.ImageIndex(empty.Index)
	for n := range 4 {
		wide = mutate.AppendManifests(wide, mutate.IndexAddendum{Add: index(t, map[string]v1.Image{"s390x": image(t, "s390x", fmt.Sprint(n))})})
	}
	s.pushIndex(t, "wide:4", wide)
	components := newComponents(t, oci.Settings{})
	got, err := components.Resolve(ctx, s.host()+"/deep:3", "arm64")
	if diff := cmp.Diff(sources.Digest(d.String()), got); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
	for ref, want := range map[string]string{
		"/deep:3 riscv64": "no image for linux/riscv64; it has linux/amd64, linux/arm64",
		"/deep:4 arm64":   "its indexes are nested too deep",
		"/wide:4 arm64":   "its index holds 4 indexes; at most 3 are looked into",
	} {
		ref, arch, _ := strings.Cut(ref, " ")
		if _, err := components.Resolve(ctx, s.host()+ref, arch); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", ref, err, want)
		}
	}
}

// counting counts requests by their method and kind.
func counting(counts *sync.Map) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, behind http.Handler) {
		for _, kind := range []string{"manifests", "blobs"} {
			if strings.Contains(r.URL.Path, "/"+kind+"/") {
				n, _ := counts.LoadOrStore(r.Method+" "+kind, &atomic.Int32{})
				n.(*atomic.Int32).Add(1)
			}
		}
		behind.ServeHTTP(w, r)
	}
}

func counted(counts *sync.Map) map[string]int32 {
	all := map[string]int32{}
	counts.Range(func(key, n any) bool {
		all[key.(string)] = n.(*atomic.Int32).Load()
		return true
	})
	return all
}

func TestWhatIsInTheStoreIsNotAskedForAgain(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	img := image(t, "amd64", "a", "b")
	s.push(t, "web:1", img)
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	d, images := sources.Digest(digest.String()), newStore(t)
	components := newComponents(t, oci.Settings{Store: images})
	if components.Stored(d) {
		t.Error("it is stored before it was fetched")
	}
	var counts sync.Map
	s.front = counting(&counts)
	if _, err := pull(components, s.host()+"/web:1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int32{"HEAD manifests": 1, "GET manifests": 1, "GET blobs": 3}, counted(&counts)); diff != "" {
		t.Error(diff)
	}
	if !components.Stored(d) {
		t.Error("it is not stored after it was fetched")
	}
	// A tag is asked for with HEAD, which registries do not count; a digest
	// needs no registry at all.
	counts.Clear()
	components = newComponents(t, oci.Settings{Store: images})
	if _, err := pull(components, s.host()+"/web:1"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]int32{"HEAD manifests": 1}, counted(&counts)); diff != "" {
		t.Error(diff)
	}
	s.Close()
	if _, err := pull(components, s.host()+"/web@"+string(d)); err != nil {
		t.Errorf("with the registry gone: %v", err)
	}
	if _, err := pull(components, s.host()+"/web:1"); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v", err)
	}
}

func TestALayerOfTwoImagesIsDownloadedOnce(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "a:1", image(t, "amd64", "base", "a"))
	s.push(t, "b:1", image(t, "amd64", "base", "b"))
	components := newComponents(t, oci.Settings{})
	if _, err := pull(components, s.host()+"/a:1"); err != nil {
		t.Fatal(err)
	}
	var counts sync.Map
	s.front = counting(&counts)
	if _, err := pull(components, s.host()+"/b:1"); err != nil {
		t.Fatal(err)
	}
	if got := counted(&counts)["GET blobs"]; got != 2 { // configuration, upper layer
		t.Errorf("%d blobs were fetched", got)
	}
}

func TestTheMirrorIsAskedForEveryRegistryWithoutItsHost(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	for _, repo := range []string{"library/nginx:latest", "library/nginx:1.27", "linuxkit/init:v1.0", "tools/x:1", "deep/er/path:2"} {
		s.push(t, repo, image(t, "amd64", strings.ReplaceAll(repo, ":", "-")))
	}
	components := newComponents(t, oci.Settings{Mirror: s.url(t)})
	for ref, file := range map[string]string{
		"nginx": "library/nginx-latest", "nginx:1.27": "library/nginx-1.27", "oci:nginx:1.27": "library/nginx-1.27",
		"docker.io/library/nginx:1.27": "library/nginx-1.27", "linuxkit/init:v1.0": "linuxkit/init-v1.0",
		"ghcr.io/tools/x:1": "tools/x-1", "registry.example:5000/deep/er/path:2": "deep/er/path-2", "localhost/tools/x:1": "tools/x-1",
	} {
		got, err := pull(components, ref)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{file}, namesIn(t, got)); diff != "" {
			t.Errorf("%s: %s", ref, diff)
		}
	}
	_, err := pull(components, "nginx:9")
	if err == nil || !strings.Contains(err.Error(), "get nginx:9: the mirror "+s.URL+" has no such image") {
		t.Errorf("got %v", err)
	}
}

func TestAMirrorOfOneRegistryMayHaveAPath(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "hub/library/nginx:1", image(t, "amd64", "from-hub"))
	mirror := s.url(t)
	mirror.Path = "/hub/"
	components := newComponents(t, oci.Settings{Registries: map[string]oci.Registry{
		"docker.io": {Mirror: mirror}, "gone.invalid": {},
	}})
	if _, err := pull(components, "nginx:1"); err != nil {
		t.Error(err)
	}
	if _, err := pull(components, "gone.invalid/nginx:1"); err == nil || !strings.Contains(err.Error(), "from gone.invalid") {
		t.Errorf("got %v", err)
	}
}

func authority(s *server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	return pool
}

func TestTLSNeedsAnAuthorityThatIsKnown(t *testing.T) {
	s := newServer(t, httptest.NewTLSServer)
	s.push(t, "web:1", image(t, "amd64", "a"))
	ref := s.host() + "/web:1"
	_, err := pull(newComponents(t, oci.Settings{}), ref)
	if err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("got %v", err)
	}
	known := map[string]oci.Registry{s.host(): {CAs: authority(s)}}
	if _, err := pull(newComponents(t, oci.Settings{Registries: known}), ref); err != nil {
		t.Error(err)
	}
}

// dockerConfig writes a DOCKER_CONFIG, and a credential helper that knows the
// password of one host.
func dockerConfig(t *testing.T, config map[string]any, host, user, password string) {
	t.Helper()
	dir := t.TempDir()
	content, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	helper := fmt.Sprintf("#!/bin/sh\nread -r host\n[ \"$1\" = get ] && [ \"$host\" = %s ] || { echo 'credentials not found in native keychain'; exit 1; }\n"+
		`echo '{"ServerURL":"%s","Username":"%s","Secret":"%s"}'`+"\n", host, host, user, password)
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-lkup-test"), []byte(helper), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", dir)
	t.Setenv("DOCKER_CONFIG", dir)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// basicAuth demands a name and a password of every request.
func basicAuth(w http.ResponseWriter, r *http.Request, behind http.Handler) {
	if user, password, _ := r.BasicAuth(); user != "anna" || password != "s3cret" {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	behind.ServeHTTP(w, r)
}

// bearerAuth is how Docker's own registry does it: a token for a name and a
// password.
func (s *server) bearerAuth(w http.ResponseWriter, r *http.Request, behind http.Handler) {
	if r.URL.Path == "/token" {
		basicAuth(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("scope") != "repository:web:pull" {
				http.Error(w, "", http.StatusBadRequest)
				return
			}
			_, _ = w.Write([]byte(`{"token": "t0ken"}`))
		}))
		return
	}
	if r.Header.Get("Authorization") != "Bearer t0ken" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="test"`)
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	behind.ServeHTTP(w, r)
}

func TestCredentialsComeFromDockersConfigAndItsHelpers(t *testing.T) {
	s := newServer(t, httptest.NewTLSServer)
	s.push(t, "web:1", image(t, "amd64", "a"))
	ref := s.host() + "/web:1"
	settings := func() oci.Settings {
		return oci.Settings{Keychain: authn.DefaultKeychain, Registries: map[string]oci.Registry{s.host(): {CAs: authority(s)}}}
	}
	for way, front := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){"basic": basicAuth, "bearer": s.bearerAuth} {
		t.Run(way, func(t *testing.T) {
			s.front = front
			for from, config := range map[string]map[string]any{
				"a helper":    {"credHelpers": map[string]string{s.host(): "lkup-test"}},
				"the default": {"credsStore": "lkup-test"},
				"the config":  {"auths": map[string]any{s.host(): map[string]string{"auth": "YW5uYTpzM2NyZXQ="}}},
			} {
				dockerConfig(t, config, s.host(), "anna", "s3cret")
				if _, err := pull(newComponents(t, settings()), ref); err != nil {
					t.Errorf("credentials from %s: %v", from, err)
				}
			}
			dockerConfig(t, map[string]any{"credsStore": "lkup-test"}, "other.example", "anna", "s3cret")
			_, err := pull(newComponents(t, settings()), ref)
			if err == nil || !strings.Contains(err.Error(), "docker login "+s.host()) {
				t.Errorf("without credentials: %v", err)
			}
		})
	}
}

func TestCredentialsOfARegistryDoNotGoToItsMirror(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "library/web:1", image(t, "amd64", "a"))
	var seen atomic.Int32
	s.front = func(w http.ResponseWriter, r *http.Request, behind http.Handler) {
		if r.Header.Get("Authorization") != "" {
			seen.Add(1)
		}
		behind.ServeHTTP(w, r)
	}
	dockerConfig(t, map[string]any{"auths": map[string]any{
		"https://index.docker.io/v1/": map[string]string{"auth": "YW5uYTpzM2NyZXQ="},
	}}, "", "", "")
	if _, err := pull(newComponents(t, oci.Settings{Keychain: authn.DefaultKeychain, Mirror: s.url(t)}), "web:1"); err != nil {
		t.Fatal(err)
	}
	if seen.Load() > 0 {
		t.Error("the mirror saw credentials")
	}
}

func TestProgressEndsAtTheWhole(t *testing.T) {
	s, ctx := newServer(t, httptest.NewServer), context.Background()
	s.push(t, "web:1", image(t, "amd64", "a", "b "+strings.Repeat("incompressible? no", 10000)))
	components := newComponents(t, oci.Settings{})
	ref := s.host() + "/web:1"
	d, err := components.Resolve(ctx, ref, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	var last sources.Progress
	if _, err := components.Image(ctx, ref, "amd64", d, func(p sources.Progress) { last = p }); err != nil {
		t.Fatal(err)
	}
	if last.Total == 0 || last.Done != last.Total || last.What != "pull "+ref {
		t.Errorf("the last report is %+v", last)
	}
}

func TestAMirrorThatIsSaidToBeHTTPSIsNotAskedOverHTTP(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "library/web:1", image(t, "amd64", "a"))
	mirror := &url.URL{Scheme: "https", Host: s.host()}
	_, err := pull(newComponents(t, oci.Settings{Mirror: mirror}), "web:1")
	if err == nil || !strings.Contains(err.Error(), "plain http to "+s.host()+" is refused") {
		t.Errorf("got %v", err)
	}
}
