package spec

import (
	"strconv"
	"strings"
	"testing"
)

// FuzzSize holds for any text: a size is read or something to type is said,
// and what was read is read again from its plainest form.
func FuzzSize(f *testing.F) {
	for _, seed := range []string{"512MiB", "2 GiB", "1.5GB", "", "5", "MiB", "1e9GiB", "99999999999999999999TiB", "0.0001KiB", "-1MiB", "1 parsec", "٣MiB"} {
		f.Add(seed, 0)
		f.Add(seed, 64)
	}
	f.Fuzz(func(t *testing.T, text string, least int) {
		least = max(0, least)
		mib, problem := parseSize(text, least)
		if problem != "" && mib != 0 {
			t.Fatalf("%q gives %d MiB and %q", text, mib, problem)
		}
		if problem != "" {
			return
		}
		if mib < least || mib > mostMemory {
			t.Fatalf("%q gives %d MiB", text, mib)
		}
		if again, problem := parseSize(strconv.Itoa(mib)+"MiB", least); again != mib || problem != "" {
			t.Fatalf("%q gives %d MiB, and that %d, %q", text, mib, again, problem)
		}
	})
}

// FuzzDuration holds for any text, likewise.
func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"60s", "1m30s", "", "5", "1 h", "-1s", "0s", "9999999h", "1e3s", "30 sec", "1.5s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, problem := parseDuration(text)
		if (problem == "") != (d > 0) {
			t.Fatalf("%q gives %s and %q", text, d, problem)
		}
		if problem != "" {
			return
		}
		if again, problem := parseDuration(d.String()); again != d || problem != "" {
			t.Fatalf("%q gives %s, and that %s, %q", text, d, again, problem)
		}
	})
}

// FuzzAddress holds for any text as an address: an instance is covered by its
// block, a move leads to what the new address covers, and nothing panics.
func FuzzAddress(f *testing.F) {
	for _, seed := range []string{"vm.web", `vm.web["blue"]`, "vm.web[0]", `module.a["x.y"].vm.b["]["]`, "module.a.module.b.volume.c", "", "[", `vm.a["`, `vm.a["\"]`, "...", `"`} {
		f.Add(seed, "vm.web", "vm.front")
		f.Add(seed, "module.a", `module.b["x"]`)
	}
	f.Fuzz(func(t *testing.T, text, from, to string) {
		a := Address(text)
		if block := a.Block(); !block.Covers(a) || !a.Covers(a) || !strings.HasPrefix(text, string(block)) {
			t.Fatalf("%q is of the block %q, which does not cover it", a, block)
		}
		kind := a.Kind()
		if strings.Join(a.steps(), ".") != text {
			t.Fatalf("%q has the steps %q", a, a.steps())
		}
		if from == "" || to == "" {
			return
		}
		m := Moved{From: Address(from), To: Address(to)}
		moved, applies := m.Apply(a)
		if applies && !m.To.Covers(moved) || !applies && moved != a {
			t.Fatalf("%+v makes %q of %q (%s)", m, moved, a, kind)
		}
		keyedText := string(keyed("vm.a", text))
		if Address(keyedText).Block() != "vm.a" || Address(keyedText).Kind() != "vm" {
			t.Fatalf("the instance %s is of the block %q, a %q", keyedText, Address(keyedText).Block(), Address(keyedText).Kind())
		}
	})
}
