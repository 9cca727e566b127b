package main

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"log"
	"net/http/httptest"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lkup/lkup/sources/apt"
	"github.com/lkup/lkup/sources/store"
)

// startRegistry VARIABLE starts a container registry for the rest of the
// script, and sets the variable to its host. It has web:1 and example/web:1.
func startRegistry(ts *testscript.TestScript, _ bool, args []string) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	ts.Defer(server.Close)
	host := strings.TrimPrefix(server.URL, "http://")
	ts.Setenv(args[0], host)
	image, err := webImage(busybox(ts), "a page of the image\n")
	ts.Check(err)
	ts.Check(upload(host+"/web:1", image))
	ts.Check(upload(host+"/example/web:1", image))
}

// pushAnother puts another image at web:1.
func pushAnother(ts *testscript.TestScript, _ bool, _ []string) {
	image, err := webImage(busybox(ts), "another page\n")
	ts.Check(err)
	ts.Check(upload(ts.Getenv("LKUP_VAR_registry")+"/web:1", image))
}

// saveImage FILE writes the image as docker save does.
func saveImage(ts *testscript.TestScript, _ bool, args []string) {
	image, err := webImage(busybox(ts), "a page of the image\n")
	ts.Check(err)
	tag, err := name.NewTag("web:1")
	ts.Check(err)
	ts.Check(tarball.WriteToFile(ts.MkAbs(args[0]), tag, image))
}

func upload(ref string, image v1.Image) error {
	to, err := name.ParseReference(ref)
	if err != nil {
		return err
	}
	return remote.Write(to, image)
}

// busybox is Debian's, as a template would have it.
func busybox(ts *testscript.TestScript) []byte {
	images, err := store.Open(filepath.Join(ts.Getenv("LKUP_CACHE_DIR"), "store"))
	ts.Check(err)
	defer images.Close()
	ctx, ref := context.Background(), "apt:busybox-static"
	packages := apt.New(apt.Settings{Store: images, Now: time.Now})
	d, err := packages.Resolve(ctx, ref, runtime.GOARCH)
	ts.Check(err)
	image, err := packages.Image(ctx, ref, runtime.GOARCH, d, nil)
	ts.Check(err)
	program, err := fileIn(image, "usr/bin/busybox")
	ts.Check(err)
	return program
}

func fileIn(image v1.Image, want string) ([]byte, error) {
	files := tar.NewReader(mutate.Extract(image))
	for {
		header, err := files.Next()
		if err != nil {
			return nil, err
		}
		if path.Clean(header.Name) == want && header.Typeflag == tar.TypeReg {
			return io.ReadAll(files)
		}
	}
}

// statePage is a page that tells how the container runs.
const statePage = `#!/bin/sh
echo Content-Type: text/plain
echo
id
echo who=$WHO
echo of=$OF
echo host=$(hostname)
cat /etc/resolv.conf
grep CapEff /proc/self/status
echo written > /tmp/x && cat /tmp/x
echo said to the log >&2
`

// webImage is an image such as docker build makes, for the host's
// architecture.
func webImage(busybox []byte, page string) (v1.Image, error) {
	base, err := layer([]tar.Header{
		{Name: "bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755},
		{Name: "bin/sh", Typeflag: tar.TypeSymlink, Linkname: "busybox"},
		{Name: "bin/id", Typeflag: tar.TypeSymlink, Linkname: "busybox"},
		{Name: "bin/cat", Typeflag: tar.TypeSymlink, Linkname: "busybox"},
		{Name: "bin/grep", Typeflag: tar.TypeSymlink, Linkname: "busybox"},
		{Name: "bin/hostname", Typeflag: tar.TypeSymlink, Linkname: "busybox"},
		{Name: "etc/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "etc/group", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777},
	}, map[string][]byte{
		"bin/busybox": busybox,
		"etc/passwd":  []byte("root:x:0:0:root:/root:/bin/sh\nwww:x:33:33::/www:/bin/sh\n"),
		"etc/group":   []byte("root:x:0:\nwww:x:33:\nlog:x:90:www\n"),
	})
	if err != nil {
		return nil, err
	}
	site, err := layer([]tar.Header{
		{Name: "www/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "www/index.html", Typeflag: tar.TypeReg, Mode: 0o644},
		{Name: "www/cgi-bin/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "www/cgi-bin/state", Typeflag: tar.TypeReg, Mode: 0o755},
	}, map[string][]byte{"www/index.html": []byte(page), "www/cgi-bin/state": []byte(statePage)})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, base, site)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", runtime.GOARCH
	config.Config = v1.Config{
		Entrypoint: []string{"/bin/busybox", "httpd", "-f", "-p", "80"}, Cmd: []string{"-h", "/www"},
		Env: []string{"PATH=/bin", "WHO=the image", "OF=the image"}, WorkingDir: "/www", User: "www",
	}
	return mutate.ConfigFile(image, config)
}

func layer(headers []tar.Header, contents map[string][]byte) (v1.Layer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		h.Size = int64(len(contents[h.Name]))
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write(contents[h.Name]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil })
}
