package linuxkit_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/spec"
)

// packages is the variable of templates that take more packages, with its default.
var packages = regexp.MustCompile(`\$\{PACKAGES:-([a-z]+)\}`)

// imagesIn lists the images that a template names, without reading it as
// linuxkit does.
func imagesIn(t *testing.T, text []byte) []string {
	t.Helper()
	type named struct{ Image string }
	var template struct {
		Kernel   named
		Init     []string
		Services []named
	}
	text = packages.ReplaceAll(text, []byte("$1"))
	if err := yaml.Unmarshal(text, &template); err != nil {
		t.Fatal(err)
	}
	all := append([]string{template.Kernel.Image}, template.Init...)
	for _, service := range template.Services {
		all = append(all, service.Image)
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

// shelfFor has something small for each image of a template.
func shelfFor(t *testing.T, text []byte) shelf {
	t.Helper()
	shelf := newShelf(t)
	for _, ref := range imagesIn(t, text) {
		from := "debian"
		for _, kind := range []string{"kernel", "init", "runc"} {
			if strings.Contains(ref, kind) {
				from = kind
			}
		}
		shelf.images[ref] = shelf.images[from]
	}
	return shelf
}

// pinned is an image by digest, or by one of LinuxKit's tags that is the hash
// of what the image was made from.
var pinned = regexp.MustCompile(`^(builtin:init|[a-z/-]+:[a-z0-9.-]+@sha256:[0-9a-f]{64}|linuxkit/[a-z-]+:[0-9a-f]{40})$`)

func TestBuiltinTemplatesBuildWithAptAndWithout(t *testing.T) {
	want := []string{"dev", "docker", "minimal", "web"}
	if diff := cmp.Diff(want, linuxkit.Builtins()); diff != "" {
		t.Error(diff)
	}
	for _, name := range linuxkit.Builtins() {
		for _, apt := range []bool{true, false} {
			text, err := linuxkit.Builtin(name, apt)
			if err != nil {
				t.Fatal(err)
			}
			for _, image := range imagesIn(t, text) {
				if !apt && !pinned.MatchString(image) {
					t.Errorf("%s without apt: %s is not pinned", name, image)
				}
			}
			about, err := linuxkit.ReadAbout(name, text)
			if err != nil || about.Summary == "" || about.Memory == "" {
				t.Errorf("%s: %+v, %v", name, about, err)
			}
			b := newBuilder(t, shelfFor(t, text), nil)
			b.NoApt = !apt
			img := spec.Image{Address: "template.t", Template: &spec.Template{Builtin: name}}
			d, err := b.Resolve(t.Context(), img)
			if err != nil {
				t.Fatalf("%s, apt: %v: %v", name, apt, err)
			}
			artifact, err := b.Fetch(t.Context(), img, d, nil)
			if err != nil {
				t.Fatalf("%s, apt: %v: %v", name, apt, err)
			}
			if _, err := os.Stat(artifact.Kernel); err != nil || !artifact.Guest {
				t.Errorf("%s: %+v, %v", name, artifact, err)
			}
		}
	}
}

func TestATemplateOfTheUserIsReadWhereItLies(t *testing.T) {
	b := newBuilder(t, newShelf(t), map[string]string{"t.yml": "project's", "motd": "the project's"})
	template := "kernel: {image: kernel}\ninit: [init]\nfiles: [{path: etc/motd, source: motd}]\n"
	b.User = fstest.MapFS{"t.yml": {Data: []byte(template)}, "motd": {Data: []byte("the user's")}, "bad.yml": {Data: []byte("kernle: {}")}}
	b.UserDir = "/home/ann/.config/lkup/templates"
	description, err := b.Describe(t.Context(), spec.Image{Address: "template.t", Template: &spec.Template{User: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, input := range description.Inputs {
		if input.File {
			got[name] = string(input.Content)
		}
	}
	want := map[string]string{b.UserDir + "/t.yml": template, b.UserDir + "/motd": "the user's"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, err = b.Resolve(t.Context(), spec.Image{Template: &spec.Template{User: "bad"}})
	if err == nil || !strings.Contains(err.Error(), b.UserDir+"/bad.yml:1:1") {
		t.Errorf("got %v", err)
	}
}

func TestWhatATemplateSaysOfItself(t *testing.T) {
	text := "# A shop, with\n# two doors. More.\n# memory: 2GiB\nkernel: {image: \"${KERNEL}\"}\n" +
		"init: [\"${INIT:-builtin:init}\", \"x${INIT}\"]\nfiles:\n  - path: a\n    contents: \"$${NOT} ${GREETING:-hello, you}\"\n"
	got, err := linuxkit.ReadAbout("t.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	at := func(line, column int) linuxkit.Position {
		return linuxkit.Position{File: "t.yml", Line: line, Column: column}
	}
	want := linuxkit.About{Summary: "A shop, with two doors", Memory: "2GiB", Variables: []linuxkit.Variable{
		{Name: "GREETING", Default: "hello, you", At: at(8, 15)},
		{Name: "INIT", Default: "builtin:init", Required: true, At: at(5, 8)},
		{Name: "KERNEL", Required: true, At: at(4, 17)},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := linuxkit.ReadAbout("t.yml", []byte("a: [")); err == nil || !strings.HasPrefix(err.Error(), "t.yml:") {
		t.Errorf("got %v", err)
	}
}
