package seed_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/seed"
)

type entry struct {
	Name, Mode string
	Content    string
}

// list reads a newc archive the way the kernel does.
func list(t *testing.T, archive []byte) []entry {
	t.Helper()
	field := func(at, n int) int {
		value, err := strconv.ParseInt(string(archive[at+6+8*n:at+14+8*n]), 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		return int(value)
	}
	align := func(n int) int { return (n + 3) &^ 3 }
	var all []entry
	for at := 0; ; {
		if string(archive[at:at+6]) != "070701" {
			t.Fatalf("no header at %d", at)
		}
		size, nameSize := field(at, 6), field(at, 11)
		name := string(archive[at+110 : at+110+nameSize-1])
		if name == "TRAILER!!!" {
			return all
		}
		begin := align(at + 110 + nameSize)
		all = append(all, entry{name, strconv.FormatInt(int64(field(at, 1)), 8), string(archive[begin : begin+size])})
		at = align(begin + size)
	}
}

func TestTheSettingsAreWhereInitLooks(t *testing.T) {
	config := guest.Config{Hostname: "web", Env: map[string]string{"A": "b"}}
	archive, err := seed.Archive(config)
	if err != nil {
		t.Fatal(err)
	}
	if len(archive)%4 != 0 {
		t.Errorf("%d bytes: another archive could not follow", len(archive))
	}
	again, err := seed.Archive(config)
	if err != nil || !bytes.Equal(archive, again) {
		t.Error("the same settings give other bytes")
	}
	entries := list(t, archive)
	if len(entries) != 2 {
		t.Fatalf("entries: %+v", entries)
	}
	want := []entry{{"lkup", "40700", ""}, {"lkup/config.json", "100600", entries[1].Content}}
	if diff := cmp.Diff(want, entries); diff != "" {
		t.Fatal(diff)
	}
	var got guest.Config
	if err := json.Unmarshal([]byte(entries[1].Content), &got); err != nil {
		t.Fatal(err)
	}
	config.FormatVersion = guest.FormatVersion
	if diff := cmp.Diff(config, got); diff != "" {
		t.Fatal(diff)
	}
}
