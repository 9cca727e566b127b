package iso9660_test

import (
	"io"
	"strings"
	"testing"

	"github.com/lkup/lkup/internal/iso9660"
)

// What discs hold is tested where they are made: linuxkit/output and guest/seed.
func TestWhatHasNoRoomIsRefused(t *testing.T) {
	large := iso9660.Disc{Files: []iso9660.File{{Name: "X.;1", Size: 1 << 32}}}
	if err := large.Place(); err == nil || !strings.Contains(err.Error(), "4294967296 bytes") {
		t.Errorf("a file of 4 GiB: %v", err)
	}
	many := iso9660.Disc{Files: make([]iso9660.File, 60)}
	if err := many.Place(); err == nil || !strings.Contains(err.Error(), "60 files") {
		t.Errorf("60 files: %v", err)
	}
	small := iso9660.Disc{}
	if err := small.Place(); err != nil {
		t.Fatal(err)
	}
	if err := small.Write(io.Discard, make([]byte, 32<<10)); err != nil {
		t.Errorf("32 KiB before it: %v", err)
	}
	if err := small.Write(io.Discard, make([]byte, 32<<10+1)); err == nil {
		t.Error("more than 32 KiB fit before it")
	}
}
