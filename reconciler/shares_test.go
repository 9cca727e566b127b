package reconciler_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

func TestSharesOfWhatGuestsShouldNotHave(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home, project := filepath.Join(top, "people", "me"), filepath.Join(top, "people", "me", "shop")
	for _, dir := range []string{"people/me/shop/site", "people/me/.ssh/keys", "people/me/shop/.sshd"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(home, filepath.Join(project, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(project, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(project) // socket paths are short
	socket, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for _, tt := range []struct{ host, says string }{
		{"site", ""},
		{".", ""},
		{".sshd", ""},
		{"nowhere", "which is not there"},
		{"file", "no directory"},
		{"socket", "a socket"},
		{"/", "the whole file system"},
		{"/run", "where sockets are"},
		{"..", "a home directory"},
		{"link", "a home directory"},
		{"../..", "where home directories are"},
		{"../.ssh", "where keys are"},
		{"../.ssh/keys", "where keys are"},
	} {
		share := spec.Share{Host: tt.host, Guest: "/srv"}
		summary, hint := reconciler.ShareProblem(share, project, home)
		if (summary == "") != (tt.says == "") || !strings.Contains(hint, tt.says) {
			t.Errorf("%s: %q, %q; want %q", tt.host, summary, hint, tt.says)
		}
		share.AllowSensitive = true
		summary, hint = reconciler.ShareProblem(share, project, home)
		if info, err := os.Stat(tt.host); err == nil && info.IsDir() && summary != "" {
			t.Errorf("%s was allowed: %q, %q", tt.host, summary, hint)
		}
	}
}
