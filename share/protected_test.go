package share_test

import (
	"testing"

	"github.com/lkup/lkup/share"
)

func TestWhatIsProtected(t *testing.T) {
	p := share.NewProtected([]string{".envrc", ".vscode", "*.lkup.hcl", "**/.git/hooks", "**/.git/config", ".git/modules/*/config"})
	for _, tt := range []struct {
		path           string
		covered, leads bool
	}{
		{"", false, true},
		{"main.go", false, false},
		{".envrc", true, false},
		{".ENVRC", true, false},
		{"sub/.envrc", false, false},
		{".vscode", true, false},
		{".vscode/a/b", true, false},
		{".vscodes", false, false},
		{"shop.lkup.hcl", true, false},
		{"sub/shop.lkup.hcl", false, false},
		{".git", false, true},
		{".Git", false, true},
		{".git/index", false, false},
		{".git/config", true, false},
		{".gıt/config", true, false}, // a dotless i, whose capital is I
		{".git/config.lock", false, false},
		{".git/hooks/pre-commit", true, false},
		{"a/b/.git", false, true},
		{"a/b/.git/hooks", true, false},
		{"a/b/.git/index", false, false},
		{"a", false, false},
		{".git/modules", false, true},
		{".git/modules/x", false, true},
		{".git/modules/x/index", false, false},
		{".git/modules/x/config", true, false},
	} {
		if covered, leads := p.Covers(tt.path), p.Leads(tt.path); covered != tt.covered || leads != tt.leads {
			t.Errorf("%q: covered %t, leads %t; want %t, %t", tt.path, covered, leads, tt.covered, tt.leads)
		}
	}
}

// FuzzProtected: what lies below a protected path is protected, and so is what
// a path leads to once it stops leading and starts to be covered.
func FuzzProtected(f *testing.F) {
	p := share.NewProtected([]string{".envrc", "**/.git/hooks", ".git/modules/*/config"})
	f.Add(".git", "hooks")
	f.Add("a/.git", "x")
	f.Add(".git/modules/x", "config")
	f.Fuzz(func(t *testing.T, dir, name string) {
		if dir == "" || name == "" {
			return
		}
		if p.Covers(dir) && !p.Covers(dir+"/"+name) {
			t.Errorf("%q is protected and %q below it is not", dir, name)
		}
		if p.Covers("x/"+dir) != p.Covers("y/"+dir) {
			t.Errorf("%q depends on the name of the directory that it is in", dir)
		}
	})
}
