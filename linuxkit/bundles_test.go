package linuxkit_test

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/sources/store"
)

// bundleShelf has the components that the templates of testdata/bundles name.
func bundleShelf(t *testing.T) shelf {
	t.Helper()
	s := newShelf(t)
	const label = "org.mobyproject.config"
	s.images["odd-kernel"] = image(t, v1.Config{}, []entry{
		{name: "bzImage", content: bzImage(t, "\x7fELF odd")}, {name: "ucode.cpio", content: "microcode"},
		{name: "modules.tar", content: tarOf(t, []entry{{name: "lib/firmware/x", content: "firmware", mode: 0o600}})},
		{name: "kernel-dev.tar", content: "left out"},
	})
	s.images["alpine"] = image(t, v1.Config{}, []entry{
		{name: "lib/apk/db/installed", content: "P:alpine"}, {name: "etc/issue", content: "one", mode: 0o644}, {name: "init", content: "i", mode: 0o755},
		{name: "etc/hosts", content: "mine"}, {name: "etc/resolv.conf", content: "mine"}, {name: "etc/hostname", content: "mine"},
		{name: ".dockerenv", content: "x"}, {name: "Dockerfile", content: "x"}, {name: "etc/mtab", content: "mine"},
		{name: "dev/console", kind: tar.TypeChar}, {name: "dev/shm/", kind: tar.TypeDir, mode: 0o1777}, {name: "proc/", kind: tar.TypeDir, mode: 0o555},
	})
	s.images["runc-alpine"] = image(t, v1.Config{}, []entry{
		{name: "lib/apk/db/installed", content: "P:runc"}, {name: "usr/bin/runc", content: "runc", mode: 0o755}, {name: "etc/issue", content: "two", mode: 0o600},
	})
	s.images["layers"] = image(t, v1.Config{Cmd: []string{"/a"}},
		[]entry{
			{name: "a", content: "1"}, {name: "gone", content: "1"}, {name: "dir/old", content: "1"}, {name: "opaque/old", content: "1"},
			{name: "link", content: "a", kind: tar.TypeSymlink}, {name: "hard", content: "a", kind: tar.TypeLink},
		},
		[]entry{{name: "a", content: "2"}, {name: ".wh.gone"}, {name: "dir/new", content: "2"}, {name: "opaque/.wh..wh..opq"}, {name: "opaque/new", content: "2"}})
	s.images["full-label"] = image(t, v1.Config{
		Entrypoint: []string{"/entry"}, Cmd: []string{"cmd"}, Env: []string{"FROM=image"}, WorkingDir: "/image", User: "nobody",
		Labels: map[string]string{label: `{"command": ["/label"], "env": ["FROM=label"], "cwd": "/label", "net": "new", "ipc": "new", "uts": "new", "pid": "host",
			"hostname": "label", "readonly": true, "tmpfs": ["/tmp"], "binds": ["/l:/l"], "mounts": [{"type": "tmpfs", "destination": "/m"}],
			"capabilities": ["CAP_CHOWN"], "ambient": ["CAP_KILL"], "uid": 5, "gid": 6, "additionalGids": [7], "noNewPrivileges": true, "oomScoreAdj": 9,
			"rootfsPropagation": "shared", "cgroupsPath": "/label", "sysctl": {"a": "1"}, "rlimits": ["core,0,0"], "annotations": {"from": "label"},
			"maskedPaths": ["/masked"], "readonlyPaths": ["/ro"], "resources": {"pids": {"limit": 3}}, "devices": [{"path": "all", "type": "c"}],
			"runtime": {"cgroups": ["l"], "mkdir": ["/l"], "namespace": "label", "mounts": [{"source": "/x", "destination": "/y"}],
			"interfaces": [{"name": "l"}], "bindNS": {"net": "/n", "pid": "/p"}}}`},
	}, []entry{{name: "entry", content: "x", mode: 0o755}})
	s.images["no-config"] = image(t, v1.Config{}, []entry{{name: "x", content: "x", mode: 0o755}})
	s.images["org/thing:1.0"] = s.images["web"]
	s.images["docker.io/library/web"] = s.images["web"]
	s.images["web:1.0@sha256:"+strings.Repeat("0", 64)] = s.images["web"]
	return s
}

// TestTemplatesGiveTheTreesOfLinuxKit compares everything in the guest's root
// - names, modes, owners, links, sizes - and the files that init, runc and
// people read, with what LinuxKit's rules give.
func TestTemplatesGiveTheTreesOfLinuxKit(t *testing.T) {
	templates, err := filepath.Glob("testdata/bundles/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	if len(templates) < 30 {
		t.Fatalf("only %d templates", len(templates))
	}
	shelf := bundleShelf(t)
	shared, err := store.Open(t.TempDir()) // what templates have in common is built once
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range templates {
		name := strings.TrimSuffix(filepath.Base(path), ".yml")
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b := newBuilder(t, shelf, map[string]string{"t.yml": string(content), "site/page": "from the project"})
			b.Store = shared
			golden(t, "bundles/"+name+".golden", treeText(unpacked(t, build(t, b))))
		})
	}
}

// treeText lists a root, and shows the files that are read by others.
func treeText(root map[string]node) string {
	var list, files strings.Builder
	for _, name := range slices.Sorted(keys(root)) {
		n := root[name]
		fmt.Fprintf(&list, "%06o %d:%d %4d %s", n.Mode, n.UID, n.GID, len(n.Content), name)
		switch n.Mode & 0o170000 {
		case 0o120000:
			fmt.Fprintf(&list, " -> %s", n.Content)
		case 0o100000:
			shown := strings.HasSuffix(name, ".json") || strings.HasSuffix(name, ".yml")
			if shown {
				fmt.Fprintf(&files, "--- %s\n%s\n", name, strings.TrimSuffix(n.Content, "\n"))
			} else if len(n.Content) <= 40 {
				fmt.Fprintf(&list, " %q", n.Content)
			}
		}
		list.WriteString("\n")
	}
	return list.String() + files.String()
}

// TestEveryKeyIsInAGolden fails when a key of LinuxKit's is in none of the
// templates above.
func TestEveryKeyIsInAGolden(t *testing.T) {
	templates, err := filepath.Glob("testdata/bundles/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range templates {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(content)
	}
	for _, key := range linuxkit.Keys() {
		if !strings.Contains(all.String(), key+":") {
			t.Errorf("no template has %s", key)
		}
	}
}
