package share_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hugelgupf/p9/p9"
	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/share"
)

func TestToSetTheTimeThatAFileHasChangesNothing(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	g := serve(t, share.Served{Dir: dir, Protect: project})
	stat := func(name string) (s unix.Stat_t) {
		if err := unix.Stat(filepath.Join(dir, name), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	modified := time.Unix(1_700_000_000, 123_456_789)
	for _, name := range []string{"main.go", "main", ".git/config"} {
		if err := os.Chtimes(filepath.Join(dir, name), modified, modified); err != nil {
			t.Fatal(err)
		}
	}
	only := p9.SetAttrMask{MTime: true, MTimeNotSystemTime: true, CTime: true}
	both := p9.SetAttrMask{MTime: true, MTimeNotSystemTime: true, ATime: true, ATimeNotSystemTime: true}
	for _, test := range []struct {
		name, file string
		mask       p9.SetAttrMask
		nano       uint64
		fails      bool
		changes    bool
	}{
		{name: "without the fraction", file: "main.go", mask: only},
		{name: "with it", file: "main.go", mask: only, nano: 123_456_789},
		{name: "of a directory", file: "main", mask: only},
		{name: "of what is protected", file: ".git/config", mask: only},
		{name: "another fraction of what is protected", file: ".git/config", mask: only, nano: 5, fails: true},
		{name: "both times of what is protected", file: ".git/config", mask: both, fails: true},
		{name: "another fraction", file: "main.go", mask: only, nano: 5, changes: true},
	} {
		before := stat(test.file)
		err := g.set(test.file, test.mask, p9.SetAttr{MTimeSeconds: 1_700_000_000, MTimeNanoSeconds: test.nano})
		if (err != nil) != test.fails {
			t.Errorf("%s: %v", test.name, err)
		}
		if after := stat(test.file); (after != before) != test.changes {
			t.Errorf("%s: it was %+v and is %+v", test.name, before, after)
		}
	}
}
