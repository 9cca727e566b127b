package view_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/internal/view"
)

func TestCleanMakesTextHarmless(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "login: \tok\n", "login: \tok\n"},
		{"unicode", "café ✓ 日本", "café ✓ 日本"},
		{"colours", "\x1b[1;31mred\x1b[0m", "red"},
		{"cursor and screen", "a\x1b[2J\x1b[Hb\x1b[?25l", "ab"},
		{"title by OSC and BEL", "\x1b]0;owned\x07x", "x"},
		{"link by OSC and ST", "\x1b]8;;http://e\x1b\\text\x1b]8;;\x1b\\", "text"},
		{"clipboard", "\x1b]52;c;Zm9v\x07", ""},
		{"string without an end stays in its line", "\x1b]0;owned\nnext", "\nnext"},
		{"device control", "\x1bP1$r\x1b\\x", "x"},
		{"charset and reset", "\x1b(0\x1bcx", "x"},
		{"sequence cut off", "x\x1b[3", "x"},
		{"escape alone", "x\x1b", "x^["},
		{"C1 as UTF-8", "a\u009b31mb\u009d0;t\u009cc", "abc"},
		{"C1 as a byte", "a\x9b31mb", "a\uFFFD31mb"},
		{"not UTF-8", "a\xff\xfeb", "a\uFFFDb"},
		{"bell, backspace, zero, delete", "a\ab\bc\x00d\x7f", "a^Gb^Hc^@d\uFFFD"},
		{"lines of a console", "one\r\r\ntwo\r\n", "one\ntwo\n"},
		{"a bar that draws over itself", "10%\r20%\r", "10% 20%"},
		{"text that runs backwards", "a\u202eb\u2066c\u2028d", "a\uFFFDb\uFFFDc\uFFFDd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, view.Clean(tt.in)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mx\x1b]0;t\x07\u009b")
	f.Fuzz(func(t *testing.T, in string) {
		out := view.Clean(in)
		if !utf8.ValidString(out) {
			t.Errorf("%q is not UTF-8", out)
		}
		if i := strings.IndexFunc(out, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }); i >= 0 {
			t.Errorf("%q has a control character at %d", out, i)
		}
		if again := view.Clean(out); again != out {
			t.Errorf("%q changes again, to %q", out, again)
		}
		if strings.Count(out, "\n") > strings.Count(in, "\n") {
			t.Errorf("%q has more lines than %q", out, in)
		}
	})
}

func TestPrefixerKeepsLinesWhole(t *testing.T) {
	var out strings.Builder
	all := view.Prefixed(&out, pipe, []string{"web", "db-long"})
	write := func(p *view.Prefixer, text string) {
		if n, err := p.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("wrote %d bytes: %v", n, err)
		}
	}
	write(all[0], "first ha")
	write(all[1], "one\ntwo\nthr")
	write(all[0], "lf\r\n\x1b[31mre")
	write(all[0], "d\x1b[0m\n")
	write(all[1], "ee")
	for _, p := range all {
		if err := p.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	want := "db-long | one\ndb-long | two\nweb     | first half\nweb     | red\ndb-long | three\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestPrefixerColoursNamesAndLeavesOneAlone(t *testing.T) {
	var out strings.Builder
	fmt.Fprint(view.Prefixed(&out, terminal, []string{"a", "b"})[1], "x\n")
	fmt.Fprint(view.Prefixed(&out, terminal, []string{"a"})[0], "y\n")
	if diff := cmp.Diff("\x1b[33mb |\x1b[0m x\ny\n", out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestPrefixersOfSeveralGuestsDoNotMix(t *testing.T) {
	var out strings.Builder
	all := view.Prefixed(&out, pipe, []string{"a", "b", "c"})
	var group sync.WaitGroup
	for _, p := range all {
		group.Go(func() {
			for range 200 {
				_, _ = p.Write([]byte("some li"))
				_, _ = p.Write([]byte("ne\n"))
			}
		})
	}
	group.Wait()
	count := map[string]int{}
	for line := range strings.Lines(out.String()) {
		count[line]++
	}
	want := map[string]int{"a | some line\n": 200, "b | some line\n": 200, "c | some line\n": 200}
	if diff := cmp.Diff(want, count); diff != "" {
		t.Error(diff)
	}
}
