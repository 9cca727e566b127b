package agent

import (
	"bytes"
	"testing"
)

func TestATextIsHiddenHoweverItIsCutUp(t *testing.T) {
	const old, with = "sk-sk-key", "x"
	for in, want := range map[string]string{
		"a sk-sk-key b": "a x b", "sk-sk-sk-key": "sk-x", "sk-sk-keysk-sk-key": "xx", "no key sk-sk-": "no key sk-sk-", "": "",
	} {
		for size := 1; size <= max(1, len(in)); size++ {
			var out bytes.Buffer
			h := newHiding(&out, old, with)
			for rest := in; rest != ""; rest = rest[min(size, len(rest)):] {
				if _, err := h.Write([]byte(rest[:min(size, len(rest))])); err != nil {
					t.Fatal(err)
				}
			}
			if err := h.Flush(); err != nil || out.String() != want {
				t.Errorf("%q in pieces of %d: %q, want %q (%v)", in, size, out.String(), want, err)
			}
		}
	}
}
