package oci_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/oci"
	"github.com/lkup/lkup/sources/store"
)

// TestMain lets the test binary be a process that is killed while it pulls.
func TestMain(m *testing.M) {
	if dir := os.Getenv("OCI_TEST_STORE"); dir != "" {
		images, err := store.Open(dir)
		if err == nil {
			_, err = pull(oci.New(oci.Settings{Store: images}), os.Getenv("OCI_TEST_PULL"))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestAPullThatIsKilledIsTakenUpByTheNext(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	img := image(t, "amd64", "small", big())
	s.push(t, "web:1", img)
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	half, released := make(chan struct{}, 1), make(chan struct{})
	t.Cleanup(func() { close(released) })
	var killed atomic.Bool
	s.mu.Lock()
	s.front = hijacking(manifest.Layers[1].Digest.String(), func(w http.ResponseWriter, r *http.Request, whole []byte) {
		if killed.Load() {
			_, _ = w.Write(whole)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
		_, _ = w.Write(whole[:len(whole)/2])
		w.(http.Flusher).Flush()
		half <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-released:
		}
	})
	s.mu.Unlock()
	images := newStore(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "OCI_TEST_STORE="+images.Dir("."), "OCI_TEST_PULL="+s.host()+"/web:1")
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-half:
	case <-time.After(30 * time.Second):
		t.Error("the child did not come to the layer")
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was to be killed: %v", err)
	}
	killed.Store(true)
	components := newComponents(t, oci.Settings{Store: images})
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if components.Stored(sources.Digest(digest.String())) {
		t.Error("half an image counts as stored")
	}
	got, err := pull(components, s.host()+"/web:1")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"small", "big"}, namesIn(t, got)); diff != "" {
		t.Error(diff)
	}
	left, err := os.ReadDir(images.Dir("tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
}

func TestPullersAtOnceDownloadALayerOnce(t *testing.T) {
	s := newServer(t, httptest.NewServer)
	img := image(t, "amd64", big())
	_, layer := digestOf(t, img)
	s.push(t, "web:1", img)
	var asked atomic.Int32
	s.mu.Lock()
	s.front = hijacking(layer, func(w http.ResponseWriter, _ *http.Request, whole []byte) {
		asked.Add(1)
		_, _ = w.Write(whole)
	})
	s.mu.Unlock()
	images, ref := newStore(t), s.host()+"/web:1"
	ctx := context.Background()
	d, err := newComponents(t, oci.Settings{Store: images}).Resolve(ctx, ref, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	for range 4 { // each with connections of its own, as processes have
		go func() {
			_, err := newComponents(t, oci.Settings{Store: images}).Image(ctx, ref, "amd64", d, nil)
			failed <- err
		}()
	}
	for range 4 {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the layer was asked for %d times", asked.Load())
	}
}
