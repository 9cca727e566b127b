package watcher_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/watcher"
)

func TestWhoWatchesAProjectFindsEachDifferenceSomewhere(t *testing.T) {
	shot := func(dirs []string, files map[string]int) watcher.Snapshot {
		s := watcher.Snapshot{Files: map[string]watcher.Entry{}, Dirs: map[string]uint64{".": 1}}
		for _, dir := range dirs {
			s.Dirs[dir] = 1
		}
		for name, second := range files {
			s.Files[name] = watcher.Entry{Modified: time.Unix(int64(second), 0)}
		}
		return s
	}
	before := shot([]string{"a", "a/b", "gone", "gone/deep"}, map[string]int{"top": 1, "a/same": 1, "a/edited": 1, "a/b/removed": 1, "gone/deep/x": 1})
	for name, test := range map[string]struct {
		after watcher.Snapshot
		want  []string
	}{
		"nothing":                        {before, nil},
		"edited":                         {shot([]string{"a", "a/b", "gone", "gone/deep"}, map[string]int{"top": 1, "a/same": 1, "a/edited": 2, "a/b/removed": 1, "gone/deep/x": 1}), []string{"a/edited"}},
		"removed":                        {shot([]string{"a", "a/b", "gone", "gone/deep"}, map[string]int{"top": 1, "a/same": 1, "a/edited": 1, "gone/deep/x": 1}), []string{"a/b"}},
		"removed with its directories":   {shot([]string{"a", "a/b"}, map[string]int{"top": 1, "a/same": 1, "a/edited": 1, "a/b/removed": 1}), []string{"."}},
		"a new directory, what is in it": {shot([]string{"a", "a/b", "gone", "gone/deep", "new"}, map[string]int{"top": 1, "a/same": 1, "a/edited": 1, "a/b/removed": 1, "gone/deep/x": 1, "new/x": 1}), []string{"new", "new/x"}},
	} {
		if diff := cmp.Diff(test.want, watcher.Touched(before, test.after)); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}
