package share_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"

	"github.com/lkup/lkup/share"
)

var project = []string{".envrc", ".vscode", "*.lkup.hcl", "**/.git/hooks", "**/.git/config"}

// guest is the other end of the wire: it says what it likes.
type guest struct {
	t    *testing.T
	dir  string // as the host sees it
	root p9.File
}

func serve(t *testing.T, s share.Served) *guest {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	near, far := os.NewFile(uintptr(pair[0]), "near"), os.NewFile(uintptr(pair[1]), "far")
	ended := make(chan error, 1)
	go func() { ended <- share.Serve([]*os.File{far}, []share.Served{s}) }()
	client, err := p9.NewClient(near)
	if err != nil {
		t.Fatal(errors.Join(err, <-ended))
	}
	t.Cleanup(func() {
		near.Close()
		if err := <-ended; err != nil {
			t.Errorf("the server ended: %v", err)
		}
	})
	root, err := client.Attach("/")
	if err != nil {
		t.Fatal(err)
	}
	return &guest{t: t, dir: s.Dir, root: root}
}

// at walks without asking whether it may.
func (g *guest) at(name string) (p9.File, error) {
	var names []string
	if name != "" {
		names = strings.Split(name, "/")
	}
	_, f, err := g.root.Walk(names)
	return f, err
}

func (g *guest) open(name string, flags p9.OpenFlags) error {
	f, err := g.at(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, _, err = f.Open(flags)
	return err
}

func (g *guest) write(name, content string) error {
	f, err := g.at(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, err = f.Open(p9.WriteOnly); err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(content), 0)
	return err
}

func (g *guest) in(name string, do func(dir p9.File, base string) error) error {
	above, base := filepath.Split(name)
	dir, err := g.at(strings.TrimSuffix(above, "/"))
	if err != nil {
		return err
	}
	defer dir.Close()
	return do(dir, base)
}

func (g *guest) create(name, content string) error {
	return g.in(name, func(dir p9.File, base string) error {
		f, _, _, err := dir.Create(base, p9.ReadWrite, 0o644, 0, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte(content), 0)
		return err
	})
}

func (g *guest) rename(from, to string) error {
	return g.in(from, func(dir p9.File, base string) error {
		return g.in(to, func(other p9.File, name string) error { return dir.RenameAt(base, other, name) })
	})
}

func (g *guest) mkdir(name string) error {
	return g.in(name, func(dir p9.File, base string) error { _, err := dir.Mkdir(base, 0o755, 0, 0); return err })
}

func (g *guest) symlink(to, name string) error {
	return g.in(name, func(dir p9.File, base string) error { _, err := dir.Symlink(to, base, 0, 0); return err })
}

func (g *guest) link(from, name string) error {
	target, err := g.at(from)
	if err != nil {
		return err
	}
	defer target.Close()
	return g.in(name, func(dir p9.File, base string) error { return dir.Link(target, base) })
}

func (g *guest) unlink(name string, flags uint32) error {
	return g.in(name, func(dir p9.File, base string) error { return dir.UnlinkAt(base, flags) })
}

func (g *guest) set(name string, valid p9.SetAttrMask, attr p9.SetAttr) error {
	f, err := g.at(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.SetAttr(valid, attr)
}

const removeDir = 0x200 // AT_REMOVEDIR

func fill(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{".git/hooks/pre-commit", ".git/config", ".git/index", ".vscode/tasks.json", "shop.lkup.hcl", "main.go", "main/x", "evil/hooks/pre-commit", "evil/config"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("host\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tree is all there is, with contents.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		info, err := e.Info()
		if err != nil {
			return err
		}
		all[name] = info.Mode().String()
		switch e.Type() {
		case 0:
			content, err := os.ReadFile(path)
			all[name] += " " + string(content)
			return err
		case fs.ModeSymlink:
			to, err := os.Readlink(path)
			all[name] += " " + to
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestAHostileGuestChangesNothingThatIsProtected(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	g := serve(t, share.Served{Dir: dir, Protect: project})
	before := tree(t, dir)
	attacks := map[string]func() error{
		"write":              func() error { return g.write(".git/config", "evil") },
		"write below":        func() error { return g.write(".git/hooks/pre-commit", "evil") },
		"write a stack file": func() error { return g.write("shop.lkup.hcl", "evil") },
		"truncate by open":   func() error { return g.open(".git/config", p9.ReadOnly|0o1000) },
		"truncate":           func() error { return g.set(".git/config", p9.SetAttrMask{Size: true}, p9.SetAttr{}) },
		"mode": func() error {
			return g.set(".git/hooks/pre-commit", p9.SetAttrMask{Permissions: true}, p9.SetAttr{Permissions: 0o777})
		},
		"times":                      func() error { return g.set(".git/config", p9.SetAttrMask{MTime: true}, p9.SetAttr{}) },
		"create what is absent":      func() error { return g.create(".envrc", "evil") },
		"create in another case":     func() error { return g.create(".EnvRC", "evil") },
		"create a new stack file":    func() error { return g.create("x.lkup.hcl", "evil") },
		"create a hook":              func() error { return g.create(".git/hooks/post-checkout", "evil") },
		"mkdir":                      func() error { return g.mkdir(".git/hooks/more") },
		"mkdir in place of a file":   func() error { return g.mkdir(".envrc") },
		"symlink":                    func() error { return g.symlink("evil/config", ".envrc") },
		"symlink for a directory":    func() error { return g.symlink("../evil", "evil/.git") },
		"a file that is .git":        func() error { return g.create("evil/.git", "gitdir: ../evil") },
		"rename away":                func() error { return g.rename(".git/config", "config") },
		"rename what leads there":    func() error { return g.rename(".git", "old") },
		"rename over":                func() error { return g.rename("evil/config", ".git/config") },
		"rename to what is absent":   func() error { return g.rename("evil/config", ".envrc") },
		"rename a directory over":    func() error { return g.rename("evil/hooks", ".git/hooks") },
		"rename a directory to .git": func() error { return g.rename("evil", "main/.git") },
		"hard link out":              func() error { return g.link(".git/config", "alias") },
		"hard link in":               func() error { return g.link("evil/config", ".envrc") },
		"remove":                     func() error { return g.unlink(".git/config", 0) },
		"remove below":               func() error { return g.unlink(".git/hooks/pre-commit", 0) },
		"remove a directory":         func() error { return g.unlink(".vscode", removeDir) },
		"a device": func() error {
			return g.in("disk", func(d p9.File, b string) error { _, err := d.Mknod(b, 0o060666, 8, 0, 0, 0); return err })
		},
		"a path with a way out": func() error { return g.write("../x", "evil") },
	}
	for name, attack := range attacks {
		err := attack()
		switch name {
		case "a path with a way out", "a device": // refused for other reasons
			if err == nil {
				t.Errorf("%s succeeded", name)
			}
		default:
			if !errors.Is(err, linux.EROFS) {
				t.Errorf("%s: %v, want %v", name, err, linux.EROFS)
			}
		}
	}
	if diff := cmp.Diff(before, tree(t, dir)); diff != "" {
		t.Errorf("the host sees a change (-before +after):\n%s", diff)
	}
}

func TestTheRestOfASharedProjectIsTheGuests(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	g := serve(t, share.Served{Dir: dir, Protect: project})
	for name, do := range map[string]func() error{
		"write":      func() error { return g.write("main.go", "guest") },
		"index":      func() error { return g.create(".git/index.lock", "guest") },
		"make":       func() error { return g.create("new", "guest") },
		"mkdir":      func() error { return g.mkdir("sub") },
		"a sub .git": func() error { return g.mkdir("evil/.git") },
		"pipe": func() error {
			return g.in("pipe", func(d p9.File, b string) error { _, err := d.Mknod(b, 0o010644, 0, 0, 0, 0); return err })
		},
		"read config": func() error { return g.open(".git/config", p9.ReadOnly) },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, do := range map[string]func() error{
		"symlink":        func() error { return g.symlink("/etc/passwd", "link") },
		"hard link":      func() error { return g.link("main.go", "other.go") },
		"rename":         func() error { return g.rename(".git/index.lock", ".git/index") },
		"rename a dir":   func() error { return g.rename("sub", "sub2") },
		"mode":           func() error { return g.set("new", p9.SetAttrMask{Permissions: true}, p9.SetAttr{Permissions: 0o6755}) },
		"chown is vain":  func() error { return g.set("new", p9.SetAttrMask{UID: true}, p9.SetAttr{UID: 12345}) },
		"remove":         func() error { return g.unlink("pipe", 0) },
		"remove sub git": func() error { return g.unlink("evil/.git", removeDir) },
		"resize":         func() error { return g.set("new", p9.SetAttrMask{Size: true}, p9.SetAttr{Size: 2}) },
	} {
		if err := do(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	after := tree(t, dir)
	want := map[string]string{"main.go": "-rw-r--r-- guest", "other.go": "-rw-r--r-- guest", "new": "-rwxr-xr-x gu", ".git/index": "-rw-r--r-- guest", "link": "Lrwxrwxrwx /etc/passwd"}
	for name, content := range want {
		if after[name] != content && !(name == "main.go" || name == "other.go") {
			t.Errorf("%s is %q, want %q", name, after[name], content)
		}
	}
	if !strings.HasPrefix(after["main.go"], "-rw-r--r-- guest") || after["main.go"] != after["other.go"] {
		t.Errorf("main.go is %q, other.go %q", after["main.go"], after["other.go"])
	}
	if err := g.open("link", p9.ReadOnly); err == nil {
		t.Error("a link was followed on the host")
	}
	if err := g.write("link", "evil"); err == nil {
		t.Error("a link was followed on the host")
	}
}

// What the host's programs replace by a rename, as git and editors do, stays
// protected: mounts over files would be gone by then.
func TestWhatTheHostReplacesStaysProtected(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	g := serve(t, share.Served{Dir: dir, Protect: project})
	if err := g.write(".git/config", "evil"); err == nil {
		t.Fatal("it was not protected")
	}
	fresh := filepath.Join(dir, ".git", "config.lock")
	if err := os.WriteFile(fresh, []byte("newer\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fresh, filepath.Join(dir, ".git", "config")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, ".vscode")); err != nil {
		t.Fatal(err)
	}
	for name, attack := range map[string]func() error{
		"write":  func() error { return g.write(".git/config", "evil") },
		"rename": func() error { return g.rename("evil/config", ".git/config") },
		"mkdir":  func() error { return g.mkdir(".vscode") },
	} {
		if err := attack(); err == nil {
			t.Errorf("%s succeeded", name)
		}
	}
	if content, err := os.ReadFile(filepath.Join(dir, ".git", "config")); string(content) != "newer\n" {
		t.Errorf("the host reads %q, %v", content, err)
	}
}

func TestAnotherNameOfAProtectedFileIsProtected(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	if err := os.Link(filepath.Join(dir, ".git/hooks/pre-commit"), filepath.Join(dir, "alias")); err != nil {
		t.Fatal(err)
	}
	g := serve(t, share.Served{Dir: dir, Protect: project})
	for name, attack := range map[string]func() error{
		"write":    func() error { return g.write("alias", "evil") },
		"truncate": func() error { return g.set("alias", p9.SetAttrMask{Size: true}, p9.SetAttr{}) },
		"create":   func() error { return g.create("alias", "evil") },
		"link":     func() error { return g.link("alias", "alias2") },
	} {
		if err := attack(); err == nil {
			t.Errorf("%s succeeded", name)
		}
	}
	if content, err := os.ReadFile(filepath.Join(dir, "alias")); string(content) != "host\n" {
		t.Errorf("the host reads %q, %v", content, err)
	}
}

func TestALinkToWhatIsNotProtectedIsRefused(t *testing.T) {
	for _, tt := range []struct{ link, to, says string }{
		{".envrc", "env", "is a link to env"},
		{".envrc", "not-there-yet", "is a link to not-there-yet"},
		{".git", "real-git", "is a link to real-git"},
		{".envrc", ".vscode/env", ""},
		{".envrc", "/etc/hostname", ""},
	} {
		dir := t.TempDir()
		for _, name := range []string{"real-git", ".vscode"} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range []string{"env", ".vscode/env"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(tt.to, filepath.Join(dir, tt.link)); err != nil {
			t.Fatal(err)
		}
		err := share.Enforceable(dir, project)
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s -> %s: %v, want %q", tt.link, tt.to, err, tt.says)
		}
	}
}

// A guest that turns directories into links while it walks through them gets
// no further than one that does not.
func TestNoWayLeadsOutThroughADirectoryThatTurnsIntoALink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	fill(t, dir)
	secret := filepath.Join(outside, "config")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	g := serve(t, share.Served{Dir: dir, Protect: project})
	var turning, writing sync.WaitGroup
	over := make(chan struct{})
	turning.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-over:
				return
			default:
			}
			_ = g.rename("evil", "aside")
			_ = g.symlink([]string{outside, ".git"}[n%2], "evil")
			_ = g.unlink("evil", 0)
			_ = g.rename("aside", "evil")
		}
	})
	for range 4 {
		writing.Go(func() {
			for range 300 {
				_ = g.write("evil/config", "guest")
				_ = g.create("evil/made", "guest")
			}
		})
	}
	writing.Wait()
	close(over)
	turning.Wait()
	if content, err := os.ReadFile(secret); string(content) != "secret" {
		t.Errorf("outside there is %q, %v", content, err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside there are %v, %v", entries, err)
	}
	if content, err := os.ReadFile(filepath.Join(dir, ".git/config")); string(content) != "host\n" {
		t.Errorf(".git/config is %q, %v", content, err)
	}
}

func TestADirectoryOfManyFilesIsListedOnce(t *testing.T) {
	dir := t.TempDir()
	var want []string
	for n := range 3000 {
		name := strings.Repeat("n", 20) + string(rune('a'+n%26)) + strings.Repeat("x", n/26)
		want = append(want, name)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g := serve(t, share.Served{Dir: dir})
	f, err := g.at("")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Open(p9.ReadOnly); err != nil {
		t.Fatal(err)
	}
	var got []string
	for offset := uint64(0); ; {
		entries, err := f.Readdir(offset, 8192)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			got, offset = append(got, e.Name), e.Offset
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// A guest that has walked somewhere does not follow when the host puts a link
// there.
func TestAWalkFromBeforeALinkDoesNotFollowIt(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	fill(t, dir)
	if err := os.WriteFile(filepath.Join(outside, "config"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	g := serve(t, share.Served{Dir: dir, Protect: project})
	f, err := g.at("evil/config")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "evil")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "evil")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Open(p9.ReadWrite); err == nil {
		t.Error("it was opened through the link")
	}
}

// wires is a connection's two ends.
func wires(t *testing.T) [2]*os.File {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return [2]*os.File{os.NewFile(uintptr(pair[0]), "near"), os.NewFile(uintptr(pair[1]), "far")}
}
