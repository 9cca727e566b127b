package oci_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/lkup/lkup/sources/oci"
)

// namesIn lists the files of an image.
func namesIn(t *testing.T, image v1.Image) []string {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, layer := range layers {
		content, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 100)
		if _, err := io.ReadFull(content, head); err != nil {
			t.Fatal(err)
		}
		if err := content.Close(); err != nil {
			t.Fatal(err)
		}
		names = append(names, string(bytes.TrimRight(head, "\x00")))
	}
	return names
}

// big does not compress, so that its layer spans many reads.
func big() string {
	var b strings.Builder
	b.WriteString("big ")
	for i, x := 0, uint64(88172645463325252); i < 1<<15; i++ {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		fmt.Fprintf(&b, "%016x", x)
	}
	return b.String()
}

func digestOf(t *testing.T, image v1.Image) (config, layer string) {
	t.Helper()
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return manifest.Config.Digest.String(), manifest.Layers[0].Digest.String()
}

// nothingLeft demands that a failed download has left neither a layer nor a
// scratch folder.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	for _, folder := range []string{"built", "tmp"} {
		entries, err := os.ReadDir(filepath.Join(dir, folder))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			t.Errorf("%s/%s is left", folder, entry.Name())
		}
	}
}

// answer is what a hostile registry does with the request for one blob.
type answer func(w http.ResponseWriter, r *http.Request, whole []byte)

// hijacking gives another answer for one blob, and behind's for all others.
func hijacking(digest string, give answer) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, behind http.Handler) {
		if r.Method != http.MethodGet || path.Base(r.URL.Path) != digest {
			behind.ServeHTTP(w, r)
			return
		}
		recorded := httptest.NewRecorder()
		behind.ServeHTTP(recorded, r)
		give(w, r, recorded.Body.Bytes())
	}
}

// cut breaks the connection in the middle.
func cut(w http.ResponseWriter, _ *http.Request, whole []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
	_, _ = w.Write(whole[:len(whole)/2])
	panic(http.ErrAbortHandler)
}

func chunked(content []byte) answer {
	return func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		for part := range slices.Chunk(content, 1<<12) {
			_, _ = w.Write(part)
			w.(http.Flusher).Flush()
		}
	}
}

func TestAHostileRegistryIsAClearErrorAndLeavesNothing(t *testing.T) {
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	img := image(t, "amd64", big())
	config, layer := digestOf(t, img)
	other := tarOf("other")
	for name, hostile := range map[string]struct {
		digest string
		give   answer
		want   string
	}{
		"a layer of other content": {layer, func(w http.ResponseWriter, _ *http.Request, whole []byte) {
			whole[len(whole)/2] ^= 1
			_, _ = w.Write(whole)
		}, "invalid checksum|has other content|error verifying sha256|corrupt"},
		"another layer, shorter, in chunks": {layer, chunked(other), "error verifying sha256|has other content|bytes, its manifest says"},
		"a layer that goes on and on": {layer, func(w http.ResponseWriter, r *http.Request, whole []byte) {
			for r.Context().Err() == nil {
				if _, err := w.Write(whole); err != nil {
					return
				}
				w.(http.Flusher).Flush()
			}
		}, "is larger than the"},
		"another length in the header": {layer, func(w http.ResponseWriter, _ *http.Request, whole []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(whole)-1))
			_, _ = w.Write(whole[:len(whole)-1])
		}, "its manifest says|error verifying|cut short"},
		"every connection cut": {layer, cut, "unexpected EOF"},
		"other configuration": {config, func(w http.ResponseWriter, _ *http.Request, whole []byte) {
			whole[0] ^= 1
			_, _ = w.Write(whole)
		}, "error verifying sha256"},
		"silence after the headers": {layer, func(w http.ResponseWriter, r *http.Request, whole []byte) {
			_, _ = w.Write(whole[:100])
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-released:
			}
		}, "does not answer"},
		"a redirect to another kind of address": {layer, func(w http.ResponseWriter, r *http.Request, _ []byte) {
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		}, "unsupported protocol scheme|is refused"},
		"a redirect to plain http elsewhere": {layer, func(w http.ResponseWriter, r *http.Request, _ []byte) {
			http.Redirect(w, r, "http://cdn.example/blob", http.StatusFound)
		}, "plain http to cdn.example is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, httptest.NewServer)
			s.push(t, "web:1", img)
			s.front = hijacking(hostile.digest, hostile.give)
			images := newStore(t)
			components := newComponents(t, oci.Settings{Store: images, Patience: 2 * time.Second})
			_, err := pull(components, s.host()+"/web:1")
			if err == nil || !slices.ContainsFunc(strings.Split(hostile.want, "|"), func(want string) bool { return strings.Contains(err.Error(), want) }) {
				t.Errorf("want an error with %s, got %v", hostile.want, err)
			}
			t.Log(err)
			nothingLeft(t, images.Dir("."))
			// The same registry, honest again.
			s.front = nil
			if _, err := pull(components, s.host()+"/web:1"); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestARedirectFromHTTPSToHTTPIsRefused(t *testing.T) {
	plain := newServer(t, httptest.NewServer)
	secure := newServer(t, httptest.NewTLSServer)
	img := image(t, "amd64", "a")
	_, layer := digestOf(t, img)
	for _, s := range []*server{plain, secure} {
		s.push(t, "web:1", img)
	}
	secure.front = hijacking(layer, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		http.Redirect(w, r, plain.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	images := newStore(t)
	_, err := pull(newComponents(t, oci.Settings{Store: images, Registries: map[string]oci.Registry{
		secure.host(): {CAs: authority(secure), Insecure: true},
	}}), secure.host()+"/web:1")
	if err == nil || !strings.Contains(err.Error(), "redirects from https to http://"+plain.host()) {
		t.Errorf("got %v", err)
	}
	nothingLeft(t, images.Dir("."))
}

func TestARedirectToAnotherServerOfTheSameKindIsFollowed(t *testing.T) {
	s, cdn := newServer(t, httptest.NewServer), newServer(t, httptest.NewServer)
	img := image(t, "amd64", "a")
	_, layer := digestOf(t, img)
	s.push(t, "web:1", img)
	cdn.push(t, "web:1", img)
	s.front = hijacking(layer, func(w http.ResponseWriter, r *http.Request, _ []byte) {
		http.Redirect(w, r, cdn.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	if _, err := pull(newComponents(t, oci.Settings{}), s.host()+"/web:1"); err != nil {
		t.Error(err)
	}
}

func TestAConnectionThatIsCutOnceIsTriedAgain(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	img := image(t, "amd64", big())
	_, layer := digestOf(t, img)
	s.push(t, "web:1", img)
	var asked atomic.Int32
	s.front = hijacking(layer, func(w http.ResponseWriter, r *http.Request, whole []byte) {
		if asked.Add(1) == 1 {
			cut(w, r, whole)
		}
		_, _ = w.Write(whole)
	})
	got, err := pull(newComponents(t, oci.Settings{}), s.host()+"/web:1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"big"}, namesIn(t, got)); diff != "" {
		t.Error(diff)
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestARegistryThatNeverAnswersIsAnError(t *testing.T) {
	released := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-released:
		}
	}))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(released) })
	host := strings.TrimPrefix(silent.URL, "http://")
	began := time.Now()
	_, err := pull(newComponents(t, oci.Settings{Patience: 300 * time.Millisecond}), host+"/web:1")
	if diff := cmp.Diff("get "+host+"/web:1: "+host+" does not answer", fmt.Sprint(err)); diff != "" {
		t.Error(diff)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = newComponents(t, oci.Settings{}).Resolve(ctx, host+"/web:1", "amd64")
	if err == nil || !strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		t.Errorf("got %v", err)
	}
}

func TestPlainHTTPIsForLoopbackUnlessSaid(t *testing.T) {
	// An address that is no loopback's, led there by a proxy.
	s := newServer(t, httptest.NewServer)
	s.push(t, "web:1", image(t, "amd64", "a"))
	s.front = func(w http.ResponseWriter, r *http.Request, behind http.Handler) {
		if r.Method == http.MethodConnect {
			http.Error(w, "", http.StatusBadGateway)
			return
		}
		behind.ServeHTTP(w, r)
	}
	settings := oci.Settings{Proxy: http.ProxyURL(s.url(t))}
	_, err := pull(newComponents(t, settings), "192.168.7.7:5000/web:1")
	if err == nil || !strings.Contains(err.Error(), `registry "192.168.7.7:5000" { insecure = true }`) {
		t.Errorf("got %v", err)
	}
	settings.Registries = map[string]oci.Registry{"192.168.7.7:5000": {Insecure: true}}
	if _, err := pull(newComponents(t, settings), "192.168.7.7:5000/web:1"); err != nil {
		t.Errorf("said to be insecure: %v", err)
	}
}

func TestALayerThatUnpacksToTooMuchIsRefused(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	s.push(t, "bomb:1", image(t, "amd64", "bomb "+strings.Repeat("0", 4<<20)))
	images := newStore(t)
	_, err := pull(newComponents(t, oci.Settings{Store: images, MaxLayer: 1 << 20}), s.host()+"/bomb:1")
	if err == nil || !strings.Contains(err.Error(), "unpacks to more than 1 MiB") {
		t.Errorf("got %v", err)
	}
	nothingLeft(t, images.Dir("."))
}

func TestAManifestThatLiesIsRefused(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	img := image(t, "amd64", "a")
	s.push(t, "web:1", img)
	content, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	size := fmt.Sprintf(`"size":%d`, manifest.Layers[0].Size)
	for name, lie := range map[string]struct{ from, to, want string }{
		"a size too small":  {size, `"size":1`, "is larger than the 1 bytes"},
		"a size too large":  {size, `"size":100000`, "bytes, its manifest says 100000"},
		"a negative size":   {size, `"size":-1`, "its manifest says -1 bytes"},
		"a size beyond all": {size, `"size":9223372036854775807`, "no layer may have more than"},
		"a missing layer":   {`"layers":[`, `"layers":[],"x":[`, "has 0 layers and its configuration 1"},
		"no image":          {string(manifest.Config.MediaType), "application/vnd.example.chart", "no container image but application/vnd.example.chart"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(string(content), lie.from, lie.to, 1)
			if changed == string(content) {
				t.Fatalf("%s has no %s", content, lie.from)
			}
			put(t, s, "web", "lie", []byte(changed), types.DockerManifestSchema2)
			images := newStore(t)
			_, err := pull(newComponents(t, oci.Settings{Store: images}), s.host()+"/web:lie")
			if err == nil || !strings.Contains(err.Error(), lie.want) {
				t.Errorf("want an error with %q, got %v", lie.want, err)
			}
			nothingLeft(t, images.Dir("."))
		})
	}
}

// put uploads a manifest, whatever stands in it.
func put(t *testing.T, s *server, repo, tag string, content []byte, kind types.MediaType) {
	t.Helper()
	request, err := http.NewRequest(http.MethodPut, s.URL+"/v2/"+repo+"/manifests/"+tag, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", string(kind))
	response, err := s.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("the registry answers %s", response.Status)
	}
}
