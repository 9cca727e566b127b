package linuxkit_test

import (
	"archive/tar"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/spec"
)

// containerShelf has lkup's own parts, and container images.
func containerShelf(t *testing.T) shelf {
	t.Helper()
	s := newShelf(t)
	for ref, like := range map[string]string{"builtin:kernel": "kernel", "builtin:init": "init", "apt:busybox-static": "init", "apt:runc": "runc"} {
		s.images[ref] = s.images[like]
	}
	accounts := []entry{
		{name: "etc/passwd", content: "root:x:0:0::/root:/bin/sh\nwww:x:33:34::/srv:/bin/sh\n"},
		{name: "etc/group", content: "root:x:0:\nwww:x:34:\nlog:x:90:www\n"},
		{name: "bin/web", content: "web", mode: 0o755},
	}
	s.images["oci:host:5000/org/web:1"] = image(t, v1.Config{
		Entrypoint: []string{"/bin/web"}, Cmd: []string{"-p", "80"}, Env: []string{"A=1"}, WorkingDir: "/srv", User: "www",
	}, accounts)
	for user, ref := range map[string]string{
		"33": "oci:numeric", "77": "oci:unknown-number", "77:88": "oci:numbers", "www:log": "oci:with-group", "0": "oci:root",
		"nobody": "oci:nobody", "www:nogroup": "oci:nogroup",
	} {
		s.images[ref] = image(t, v1.Config{Cmd: []string{"/bin/web"}, User: user}, accounts)
	}
	s.images["oci:no-accounts"] = image(t, v1.Config{Cmd: []string{"/bin/web"}, User: "12:13"}, []entry{{name: "bin/web", content: "web"}})
	s.images["oci:large-accounts"] = image(t, v1.Config{Cmd: []string{"/x"}, User: "www"}, []entry{{name: "etc/passwd", content: strings.Repeat("x", 2<<20)}})
	s.images["oci:linked-accounts"] = image(t, v1.Config{Cmd: []string{"/x"}, User: "www"}, []entry{{name: "etc/passwd", content: "/etc/shadow", kind: tar.TypeSymlink}})
	s.images["oci:no-command"] = image(t, v1.Config{}, accounts)
	return s
}

func containerImage(source string) spec.Image { return spec.Image{Address: "image.c", Source: source} }

// serviceConfig builds a container image and gives what runc gets.
func serviceConfig(t *testing.T, source, name string) (specs.Spec, string) {
	t.Helper()
	artifact, err := tryBuild(newBuilder(t, containerShelf(t), nil), containerImage(source))
	if err != nil {
		t.Fatal(err)
	}
	if !artifact.Guest {
		t.Error("it is no guest of lkup's")
	}
	file, ok := unpacked(t, artifact)["containers/services/"+name+"/config.json"]
	if !ok {
		t.Fatalf("there is no service %s", name)
	}
	var config specs.Spec
	if err := json.Unmarshal([]byte(file.Content), &config); err != nil {
		t.Fatal(err)
	}
	return config, file.Content
}

func TestAContainerImageBootsAsAServiceThatRunsAsDockerWouldRunIt(t *testing.T) {
	_, content := serviceConfig(t, "oci:host:5000/org/web:1", "web")
	golden(t, "container-config.json", content)
}

func TestTheUserOfAContainerImageIsFoundInItsAccounts(t *testing.T) {
	for source, want := range map[string]specs.User{
		"oci:host:5000/org/web:1": {UID: 33, GID: 34, AdditionalGids: []uint32{34, 90}},
		"oci:numeric":             {UID: 33, GID: 34, AdditionalGids: []uint32{34, 90}},
		"oci:unknown-number":      {UID: 77, AdditionalGids: []uint32{0}},
		"oci:numbers":             {UID: 77, GID: 88, AdditionalGids: []uint32{88}},
		"oci:with-group":          {UID: 33, GID: 90, AdditionalGids: []uint32{90}},
		"oci:root":                {AdditionalGids: []uint32{0}},
		"oci:no-accounts":         {UID: 12, GID: 13, AdditionalGids: []uint32{13}},
	} {
		_, name, _ := strings.Cut(source, ":")
		if strings.Contains(name, "/") {
			name = "web"
		}
		config, _ := serviceConfig(t, source, name)
		if diff := cmp.Diff(want, config.Process.User); diff != "" {
			t.Errorf("%s: %s", source, diff)
		}
	}
}

func TestAContainerImageThatCannotRunIsAMistake(t *testing.T) {
	b := newBuilder(t, containerShelf(t), nil)
	for source, want := range map[string]string{
		"oci:nobody":          `build image.c: oci:nobody: its user "nobody": unable to find user nobody`,
		"oci:nogroup":         `its user "www:nogroup": unable to find group nogroup`,
		"oci:no-command":      "oci:no-command: it names no command to run; write a template",
		"oci:nothing":         `no image "oci:nothing"`,
		"oci:large-accounts":  "its etc/passwd has more than 1 MiB",
		"oci:linked-accounts": `oci:linked-accounts has no file "etc/passwd"`,
	} {
		_, err := tryBuild(b, containerImage(source))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "container.yml") {
			t.Errorf("%s: got %v", source, err)
		}
	}
	pinned := containerImage("oci:root")
	pinned.SHA256 = strings.Repeat("1", 64)
	if _, err := b.Resolve(t.Context(), pinned); err == nil || !strings.Contains(err.Error(), "take out sha256, and write oci:root@sha256:...") {
		t.Errorf("got %v", err)
	}
}

func TestAContainersNameIsMadeFromItsImages(t *testing.T) {
	s := containerShelf(t)
	for source, name := range map[string]string{
		"oci:nginx": "nginx", "oci:host:5000/org/my_web:1": "my_web", "oci:web@sha256:" + strings.Repeat("a", 64): "web",
		"docker-archive:out/web.tar": "web", "oci-layout:.": "app", "oci-layout:my dir": "my-dir", "oci:host:5000/web:1@sha256:" + strings.Repeat("a", 64): "web",
	} {
		s.images[source] = s.images["oci:root"]
		artifact, err := tryBuild(newBuilder(t, s, nil), containerImage(source))
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if _, ok := unpacked(t, artifact)["containers/services/"+name+"/config.json"]; !ok {
			t.Errorf("%s: there is no service %s", source, name)
		}
	}
}

// TestTheKeyOfAContainerImageIsTheImage: what lkup boots it with is lkup's.
func TestTheKeyOfAContainerImageIsTheImage(t *testing.T) {
	img := containerImage("oci:host:5000/org/web:1")
	describe := func(change func(shelf)) linuxkit.Description {
		s := containerShelf(t)
		change(s)
		d, err := newBuilder(t, s, nil).Describe(t.Context(), img)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	before := describe(func(shelf) {})
	if d := describe(func(s shelf) { s.images["builtin:init"] = s.images["web"] }); d.Key != before.Key || d.Digest == before.Digest {
		t.Error("another init of lkup's must change the digest and not the key")
	}
	if d := describe(func(s shelf) { s.images["apt:runc"] = s.images["debian"] }); d.Key != before.Key || d.Digest == before.Digest {
		t.Error("another runc must change the digest and not the key")
	}
	if d := describe(func(s shelf) { s.images[img.Source] = s.images["oci:root"] }); d.Key == before.Key || d.Digest == before.Digest {
		t.Error("another image must change both")
	}
	var names []string
	for name := range before.Inputs {
		names = append(names, name)
	}
	slices.Sort(names)
	want := []string{"component apt:busybox-static", "component apt:runc", "component builtin:init", "component builtin:kernel", "component " + img.Source}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}
