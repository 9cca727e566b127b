package apt_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/apt"
	"github.com/lkup/lkup/sources/sourcetest"
	"github.com/lkup/lkup/sources/store"
)

// testStore is the folder of a store for this run: it shares downloads with
// other runs, and nothing that is built, so that a change of the code shows.
var testStore string

func TestMain(m *testing.M) {
	code, err := runInStore(m)
	if err != nil {
		_, _ = io.WriteString(os.Stderr, err.Error()+"\n")
		code = 1
	}
	os.Exit(code)
}

func runInStore(m *testing.M) (int, error) {
	cache := os.Getenv("LKUP_TEST_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return 1, err
		}
		cache = filepath.Join(user, "lkup-test")
	}
	if _, err := store.Open(cache); err != nil {
		return 1, err
	}
	if err := os.MkdirAll(filepath.Join(cache, "apt"), 0o700); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp(cache, "run-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, folder := range []string{"apt", "blobs", "locks"} {
		if err := os.Symlink(filepath.Join(cache, folder), filepath.Join(dir, folder)); err != nil {
			return 1, err
		}
	}
	testStore = dir
	return m.Run(), nil
}

func shared(t *testing.T) *apt.Components {
	t.Helper()
	s, err := store.Open(testStore)
	if err != nil {
		t.Fatal(err)
	}
	return apt.New(apt.Settings{Store: s, Now: time.Now})
}

func TestPackagesPassTheContract(t *testing.T) {
	sourcetest.Components(t, sourcetest.ComponentsCase{
		New:   func(t *testing.T) sources.Components { return shared(t) },
		Ref:   "apt:busybox-static",
		Arch:  "amd64",
		Files: []string{"bin", "lib64", "usr/bin/busybox", "usr/bin/sh", "usr/sbin/httpd"},
		Bad: map[string]string{
			"apt:":                         "is not a package name",
			"apt:-o=Dir::Bin::dpkg=/tmp/x": "is not a package name",
			"apt:no-such-package-at-all":   "Unable to locate package no-such-package-at-all",
			"busybox-static":               "write apt:PACKAGE",
		},
	})
}

func TestTheKernelPassesTheContract(t *testing.T) {
	sourcetest.Components(t, sourcetest.ComponentsCase{
		New: func(t *testing.T) sources.Components {
			return shared(t).Kernel([]string{"virtio-net", "9p", "no_such_module", "virtio_pci"})
		},
		Ref: "builtin:kernel", Arch: "amd64", Files: []string{"kernel", "kernel.tar"},
	})
}

// files are the entries of all layers, with the contents of those in want.
func files(t *testing.T, image v1.Image, want ...string) (names map[string]*tar.Header, contents map[string][]byte) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	names, contents = map[string]*tar.Header{}, map[string][]byte{}
	for _, layer := range layers {
		stream, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		eachFile(t, stream, func(h *tar.Header, content []byte) {
			names[h.Name] = h
			for _, name := range want {
				if h.Name == name {
					contents[name] = content
				}
			}
		})
		_ = stream.Close()
	}
	return names, contents
}

func eachFile(t *testing.T, stream io.Reader, each func(*tar.Header, []byte)) {
	t.Helper()
	entries := tar.NewReader(stream)
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(entries)
		if err != nil {
			t.Fatal(err)
		}
		each(header, content)
	}
}

func image(t *testing.T, components sources.Components, ref string) v1.Image {
	t.Helper()
	ctx := context.Background()
	d, err := components.Resolve(ctx, ref, "amd64")
	if err != nil {
		t.Fatal(err)
	}
	image, err := components.Image(ctx, ref, "amd64", d, nil)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestAComponentHoldsItsDependenciesAndNoDocumentation(t *testing.T) {
	names, _ := files(t, image(t, shared(t), "apt:runc"))
	for _, want := range []string{"usr/sbin/runc", "usr/lib/x86_64-linux-gnu/libseccomp.so.2", "usr/lib/x86_64-linux-gnu/libc.so.6"} {
		if names[want] == nil {
			t.Errorf("%s is missing", want)
		}
	}
	for name := range names {
		first, _, below := strings.Cut(name, "/")
		if strings.HasPrefix(name, "usr/share/doc") || strings.HasPrefix(name, "usr/share/man") || strings.Contains(name, "/gconv") {
			t.Errorf("%s is there", name)
		}
		if below && (first == "bin" || first == "sbin" || strings.HasPrefix(first, "lib")) {
			t.Errorf("%s lies behind a link", name)
		}
	}
}

func TestTheKernelBringsTheModulesThatItsModulesNeed(t *testing.T) {
	kernel := shared(t).Kernel([]string{"virtio-net", "9p", "no_such_module", "virtio_pci"})
	_, contents := files(t, image(t, kernel, "builtin:kernel"), "kernel", "kernel.tar")
	if string(contents["kernel"][0x202:0x206]) != "HdrS" {
		t.Error("kernel is no bzImage")
	}
	tables, modules := map[string]string{}, map[string]bool{}
	eachFile(t, bytes.NewReader(contents["kernel.tar"]), func(h *tar.Header, content []byte) {
		parts := strings.SplitN(h.Name, "/", 4)
		if len(parts) < 4 || h.Typeflag != tar.TypeReg {
			return
		}
		if strings.HasSuffix(parts[3], ".ko") {
			modules[parts[3]] = bytes.HasPrefix(content, []byte("\x7fELF"))
		} else {
			tables[parts[3]] = string(content)
		}
	})
	for line := range strings.Lines(tables["modules.dep"]) {
		name, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
		for _, file := range append(strings.Fields(needs), name) {
			if !modules[file] {
				t.Errorf("%s needs %s, which is not there", name, file)
			}
		}
		if strings.HasSuffix(name, "/9p.ko") && !strings.Contains(needs, "/9pnet.ko") {
			t.Errorf("9p without 9pnet: %s", needs)
		}
	}
	if !strings.Contains(tables["modules.dep"], "virtio_net.ko") || !strings.Contains(tables["modules.alias"], "virtio_net\n") {
		t.Errorf("no virtio_net in modules.dep or modules.alias")
	}
	if len(modules) > 60 {
		t.Errorf("%d modules for three", len(modules))
	}
}

// fakeApt puts programs of its own before the host's.
func fakeApt(t *testing.T, programs map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
}

func fresh(t *testing.T, now func() time.Time) (*apt.Components, *store.Store) {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	etc := t.TempDir()
	return apt.New(apt.Settings{Store: s, Now: now, Etc: etc}), s
}

func TestWithoutAptTheErrorSaysWhatToWriteInstead(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	components, _ := fresh(t, time.Now)
	_, err := components.Resolve(context.Background(), "apt:runc", "amd64")
	want := "resolve apt:runc: apt-config is not on this host: apt: and builtin:kernel need Debian or Ubuntu; name OCI images in the template instead"
	if err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

// fakeArchive is an apt-get that notes its commands and knows one package.
const fakeArchive = `echo "$1" >>"$LOG"
case "$1" in
install) echo "'http://x/a_1%3a2_amd64.deb' a_1%3a2_amd64.deb 5 SHA256:486ea46224d1bb4fb680f34f7c9ad96a8f24ec88be73ea8e5a6c65260e9cb8a7";;
download) [ -n "$DEB" ] || { echo "E: Failed to fetch http://x/a.deb 404 Not Found" >&2; exit 100; }; printf "$DEB" >a.deb;;
esac`

func archive(t *testing.T) (log string) {
	t.Helper()
	fakeApt(t, map[string]string{"apt-get": fakeArchive, "apt-config": ""})
	log = filepath.Join(t.TempDir(), "log")
	t.Setenv("LOG", log)
	return log
}

func commands(t *testing.T, log string) []string {
	t.Helper()
	content, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(content))
}

func TestAPinnedRefIsReadBackWithoutApt(t *testing.T) {
	log := archive(t)
	components, _ := fresh(t, time.Now)
	for range 2 {
		if _, err := components.Resolve(context.Background(), "apt:pkg", "amd64"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"update", "install"}, commands(t, log)); diff != "" {
		t.Error(diff)
	}
}

func TestListsAreRenewedAfterADay(t *testing.T) {
	log := archive(t)
	now := time.Unix(1_000_000, 0)
	components, _ := fresh(t, func() time.Time { return now })
	for _, step := range []struct {
		ref  string
		wait time.Duration
	}{{"apt:pkg", 0}, {"apt:pkgb", 23 * time.Hour}, {"apt:pkgc", 2 * time.Hour}} {
		now = now.Add(step.wait)
		if _, err := components.Resolve(context.Background(), step.ref, "amd64"); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"update", "install", "install", "update", "install"}, commands(t, log)); diff != "" {
		t.Error(diff)
	}
}

func TestAPackageThatIsGoneIsPickedAnewTheNextTime(t *testing.T) {
	log := archive(t)
	components, _ := fresh(t, time.Now)
	ctx := context.Background()
	d, err := components.Resolve(ctx, "apt:pkg", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	_, err = components.Image(ctx, "apt:pkg", "amd64", d, nil)
	var failed *apt.CommandError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "apt-get download -qq -- a:amd64=1:2: exit status 100\nE: Failed to fetch http://x/a.deb 404 Not Found") {
		t.Errorf("got %v", err)
	}
	if _, err := components.Resolve(ctx, "apt:pkg", "amd64"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"update", "install", "download", "update", "install"}, commands(t, log)); diff != "" {
		t.Error(diff)
	}
}

func TestAPackageWithOtherContentIsRefused(t *testing.T) {
	archive(t)
	t.Setenv("DEB", "evil")
	components, s := fresh(t, time.Now)
	ctx := context.Background()
	d, err := components.Resolve(ctx, "apt:pkg", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := components.Image(ctx, "apt:pkg", "amd64", d, nil); err == nil || !strings.Contains(err.Error(), "which nobody asked for") {
		t.Errorf("got %v", err)
	}
	blobs, err := os.ReadDir(s.Dir("blobs/sha256"))
	if err != nil || len(blobs) != 1 { // the list of packages
		t.Errorf("stored %v, %v", blobs, err)
	}
}

func TestOutputThatCannotBeReadIsAnError(t *testing.T) {
	for name, line := range map[string]string{
		"no sha256":   "'http://x/a_1_amd64.deb' a_1_amd64.deb 5 MD5Sum:486e",
		"no output":   "",
		"other words": "Reading package lists...",
	} {
		t.Run(name, func(t *testing.T) {
			fakeApt(t, map[string]string{"apt-get": `[ "$1" = update ] || echo "` + line + `"`, "apt-config": ""})
			components, _ := fresh(t, time.Now)
			if d, err := components.Resolve(context.Background(), "apt:pkg", "amd64"); err == nil {
				t.Errorf("resolved to %s", d)
			}
		})
	}
}
