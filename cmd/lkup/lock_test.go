package main

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"
)

// TestStoreScripts runs scripts with a container registry of their own, to
// which every ref goes.
func TestStoreScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "store"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status":        status,
			"push":          push,
			"damage":        damage,
			"registry-ends": registryEnds,
		},
		Setup: func(env *testscript.Env) error {
			if err := setUp(env); err != nil {
				return err
			}
			server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
			env.Defer(server.Close)
			env.Setenv("LKUP_REGISTRY_MIRROR", server.URL)
			env.Setenv("REGISTRY", strings.TrimPrefix(server.URL, "http://"))
			env.Values[serverKey{}] = server
			return nil
		},
	})
}

type serverKey struct{}

// registryEnds closes the script's registry.
func registryEnds(ts *testscript.TestScript, _ bool, _ []string) {
	server, ok := ts.Value(serverKey{}).(*httptest.Server)
	if !ok {
		ts.Fatalf("no registry")
	}
	server.CloseClientConnections()
	server.Close()
}

// damage STORE changes a bit of the manifest of acme/init:2.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	notes, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "notes", "*.json"))
	ts.Check(err)
	for _, note := range notes {
		content, err := os.ReadFile(note)
		ts.Check(err)
		if !strings.Contains(string(content), "acme/init:2") || !strings.Contains(string(content), `"component"`) {
			continue
		}
		blob := filepath.Join(ts.MkAbs(args[0]), "blobs", "sha256", strings.TrimSuffix(filepath.Base(note), ".json"))
		content, err = os.ReadFile(blob)
		ts.Check(err)
		content[len(content)/2] ^= 1
		ts.Check(os.Chmod(blob, 0o600))
		ts.Check(os.WriteFile(blob, content, 0o600))
		return
	}
	ts.Fatalf("acme/init:2 is not in the store")
}

// push REF NAME=CONTENT... puts an image of these files into the registry.
func push(ts *testscript.TestScript, _ bool, args []string) {
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	for _, arg := range args[1:] {
		name, text, _ := strings.Cut(arg, "=")
		ts.Check(w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(text))}))
		_, err := w.Write([]byte(text))
		ts.Check(err)
	}
	ts.Check(w.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content.Bytes())), nil
	})
	ts.Check(err)
	image, err := mutate.AppendLayers(empty.Image, layer)
	ts.Check(err)
	config, err := image.ConfigFile()
	ts.Check(err)
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	var whole v1.Image
	whole, err = mutate.ConfigFile(image, config)
	ts.Check(err)
	ref, err := name.ParseReference(ts.Getenv("REGISTRY") + "/" + args[0])
	ts.Check(err)
	ts.Check(remote.Write(ref, whole))
}

// platform gives an image of random content the form of a component: the file
// "kernel", for this computer.
func platform(t *testing.T, image v1.Image, kernel string) v1.Image {
	t.Helper()
	var content bytes.Buffer
	w := tar.NewWriter(&content)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "kernel", Mode: 0o755, Size: int64(len(kernel))}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, kernel); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	if image, err = mutate.AppendLayers(image, layer); err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	return image
}
