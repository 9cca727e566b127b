package npm_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/agent/npm"
	"github.com/lkup/lkup/agent/npm/npmtest"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/download"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// object is a package.json, or a part of it.
type object = map[string]any

// registry serves, and asks what it serves.
func registry(t *testing.T) (*npmtest.Registry, *npm.Registry) {
	t.Helper()
	served := &npmtest.Registry{}
	server := httptest.NewServer(served)
	t.Cleanup(server.Close)
	images, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return served, &npm.Registry{
		Client: download.New(download.Settings{Store: images}), Store: images,
		Base:  func(string) *url.URL { return base },
		Token: func(*url.URL) string { return served.Token },
		Told:  func(*url.URL, int64, error) {},
	}
}

func publish(t *testing.T, served *npmtest.Registry, manifest object, files ...npmtest.File) {
	t.Helper()
	if err := served.Publish(manifest, files...); err != nil {
		t.Fatal(err)
	}
}

// places are the packages of a tree by their paths.
func places(tree npm.Tree) map[string]string {
	all := map[string]string{}
	for _, p := range tree.Placed {
		all[p.Path] = p.Package.Name + "@" + p.Package.Version
	}
	return all
}

var cli = spec.Package{Name: "@shop/cli", Version: "1.0.0"}

func TestWhatAPackageNeedsIsPlacedWhereNodeFindsIt(t *testing.T) {
	served, asked := registry(t)
	served.Token = "s3cret"
	publish(t, served, object{
		"name": "@shop/cli", "version": "1.0.0",
		"dependencies":         object{"a": "^1.0.0", "kept": "*"},
		"bundleDependencies":   []string{"kept"},
		"optionalDependencies": object{"native-x64": "npm:native@2.0.0-x64", "native-arm64": "npm:native@2.0.0-arm64", "musl": "1", "gone": "1.0.0"},
	})
	publish(t, served, object{"name": "a", "version": "1.0.0"})
	publish(t, served, object{"name": "a", "version": "1.4.0", "dependencies": object{"b": ">=1 <2"}, "peerDependencies": object{"p": "1", "q": "1"}, "peerDependenciesMeta": object{"q": object{"optional": true}}})
	publish(t, served, object{"name": "a", "version": "1.5.0-beta.1"})
	publish(t, served, object{"name": "a", "version": "2.0.0"})
	publish(t, served, object{"name": "b", "version": "1.9.0", "dependencies": object{"a": "2.x"}})
	publish(t, served, object{"name": "p", "version": "1.0.0"})
	publish(t, served, object{"name": "native", "version": "2.0.0-x64", "os": []string{"linux"}, "cpu": "x64"})
	publish(t, served, object{"name": "native", "version": "2.0.0-arm64", "os": []string{"!win32"}, "cpu": []string{"arm64"}})
	publish(t, served, object{"name": "musl", "version": "1.0.0", "libc": []string{"musl"}})

	tree, err := asked.Resolve(t.Context(), cli, "amd64", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"":                              "@shop/cli@1.0.0",
		"node_modules/a":                "a@1.4.0",
		"node_modules/b":                "b@1.9.0",
		"node_modules/b/node_modules/a": "a@2.0.0",
		"node_modules/native-x64":       "native@2.0.0-x64",
		"node_modules/p":                "p@1.0.0",
	}
	if diff := cmp.Diff(want, places(tree)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, ok, err := npm.Pinned(cli, tree.Pins())
	if err != nil || !ok || again.ID() != tree.ID() {
		t.Errorf("of its own pins it is %v, %v, %v", again, ok, err)
	}
	before := len(served.Asked())
	if err := asked.Bring(t.Context(), again, nil); err != nil || len(served.Asked()) != before {
		t.Errorf("what is in the store is asked for again: %v", err)
	}
}

func TestWhatIsNotAsItWasDescribedOrLockedIsRefused(t *testing.T) {
	served, asked := registry(t)
	publish(t, served, object{"name": "@shop/cli", "version": "1.0.0"})
	tree, err := asked.Resolve(t.Context(), cli, "amd64", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := served.Tamper("@shop/cli", "1.0.0", npmtest.File{Name: "package/package.json", Content: "{}"}); err != nil {
		t.Fatal(err)
	}
	_, other := registry(t) // with an empty store
	other.Base = asked.Base
	if _, err := other.Resolve(t.Context(), cli, "amd64", nil); err == nil || !strings.Contains(err.Error(), "is not the one that the registry describes") {
		t.Errorf("another archive than is described: %v", err)
	}
	publish(t, served, object{"name": "@shop/cli", "version": "1.0.0", "description": "published anew"})
	_, third := registry(t)
	third.Base = asked.Base
	var mismatch *download.MismatchError
	if err := third.Bring(t.Context(), tree, nil); !errors.As(err, &mismatch) {
		t.Errorf("another archive than is locked: %v", err)
	}
}

func TestWhatCannotBeInstalledIsSaid(t *testing.T) {
	served, asked := registry(t)
	publish(t, served, object{"name": "@shop/cli", "version": "1.0.0", "dependencies": object{"a": "^9"}})
	publish(t, served, object{"name": "@shop/cli", "version": "1.1.0", "dependencies": object{"a": "git+https://example.org/a.git"}})
	publish(t, served, object{"name": "@shop/cli", "version": "1.2.0", "os": "darwin"})
	publish(t, served, object{"name": "@shop/cli", "version": "1.3.0", "dependencies": object{"mac": "1"}})
	publish(t, served, object{"name": "@shop/cli", "version": "1.4.0", "dependencies": object{"../../x": "1"}})
	publish(t, served, object{"name": "a", "version": "1.0.0"})
	publish(t, served, object{"name": "mac", "version": "1.0.0", "os": "darwin"})
	for version, want := range map[string]string{
		"1.0.0": "@shop/cli@1.0.0 needs a ^9: no version fits",
		"1.1.0": "is not of the registry",
		"1.2.0": "npm:@shop/cli@1.2.0 is not for Linux on amd64",
		"1.3.0": "mac@1.0.0 is for other computers",
		"1.4.0": "is no name of a package",
		"2.0.0": "@shop/cli has no version 2.0.0; the newest is 1.4.0",
	} {
		if _, err := asked.Resolve(t.Context(), spec.Package{Name: "@shop/cli", Version: version}, "amd64", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", version, err, want)
		}
	}
	if _, err := asked.Resolve(t.Context(), spec.Package{Name: "none", Version: "1.0.0"}, "amd64", nil); err == nil || !strings.Contains(err.Error(), "has no package none") {
		t.Errorf("no such package: %v", err)
	}
}

// entries are what an archive has: files with their content, links with "-> "
// before it.
func entries(t *testing.T, archive io.Reader) map[string]string {
	t.Helper()
	all := map[string]string{}
	for r := tar.NewReader(archive); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[header.Name] = string(content)
		if header.Linkname != "" {
			all[header.Name] = "-> " + header.Linkname
		}
	}
}

func TestAHostileArchiveWritesNothingButItsOwnFiles(t *testing.T) {
	served, asked := registry(t)
	publish(t, served, object{
		"name": "@shop/cli", "version": "1.0.0", "bin": object{"shop": "./bin/shop.js"}, "dependencies": object{"a": "1"},
		"scripts": object{"postinstall": "node x.js", "preinstall": "true", "test": "no"},
	},
		npmtest.File{Name: "other/bin/shop.js", Content: "run"},
		npmtest.File{Name: "package/../../../etc/passwd", Content: "evil"},
		npmtest.File{Name: "/etc/passwd", Content: "plain"},
		npmtest.File{Name: "package//etc/shadow", Content: "evil"},
		npmtest.File{Name: "package/link", Link: "/etc"},
		npmtest.File{Name: "package/link/cron", Content: "a folder's"},
		npmtest.File{Name: "alone", Content: "evil"},
	)
	publish(t, served, object{"name": "a", "version": "1.0.0", "bin": "a.js", "scripts": object{"install": "sh"}})
	tree, err := asked.Resolve(t.Context(), cli, "amd64", nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	written, err := asked.Write(tree, &out)
	if err != nil {
		t.Fatal(err)
	}
	got := entries(t, &out)
	maps.DeleteFunc(got, func(name, _ string) bool { return strings.HasSuffix(name, "/package.json") })
	const root = "lib/node_modules/@shop/cli/"
	want := map[string]string{root + "bin/shop.js": "run", root + "etc/passwd": "plain", root + "link/cron": "a folder's", "bin/shop": "-> ../" + root + "bin/shop.js"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	scripts := []npm.Script{
		{Dir: root + "node_modules/a", Name: "install", Line: "sh", Package: "a@1.0.0"},
		{Dir: root[:len(root)-1], Name: "preinstall", Line: "true", Package: "@shop/cli@1.0.0", Root: true},
		{Dir: root[:len(root)-1], Name: "postinstall", Line: "node x.js", Package: "@shop/cli@1.0.0", Root: true},
	}
	if diff := cmp.Diff(scripts, written.Scripts); diff != "" {
		t.Errorf("scripts (-want +got):\n%s", diff)
	}
	if program, err := written.Program("claude"); program != "shop" || err != nil {
		t.Errorf("its only program is %q, %v", program, err)
	}
}

func TestAProgramOutsideOfItsPackageIsRefused(t *testing.T) {
	for _, bin := range []any{object{"x": "../../../bin/sh"}, object{"../x": "x"}, object{"x": "/bin/sh"}, object{"..": "x"}, object{"a/b": "x"}, []string{"x"}} {
		served, asked := registry(t)
		publish(t, served, object{"name": "@shop/cli", "version": "1.0.0", "bin": bin})
		tree, err := asked.Resolve(t.Context(), cli, "amd64", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := asked.Write(tree, io.Discard); err == nil {
			t.Errorf("%v is taken", bin)
		}
	}
}

func TestPinsThatLeadElsewhereAreRefused(t *testing.T) {
	for _, ref := range []string{"../../x npm:a@1.0.0", "node_modules/../x npm:a@1.0.0", "node_modules/a npm:a@^1", "node_modules/a", "lib/a npm:a@1.0.0"} {
		pins := map[string]sources.Digest{cli.String(): "sha256:0", cli.String() + " " + ref: "sha256:0"}
		if _, _, err := npm.Pinned(cli, pins); err == nil {
			t.Errorf("%q is taken", ref)
		}
	}
}
