package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/lkup/lkup/sources/store"
)

func TestUnfinishedDownloadsAreSweptAway(t *testing.T) {
	s, err := store.OpenAlone(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(); err != nil {
		t.Fatalf("with no downloads: %v", err)
	}
	if err := os.MkdirAll(s.Dir(store.Downloads), 0o700); err != nil {
		t.Fatal(err)
	}
	part := filepath.Join(s.Dir(store.Downloads), "x.part")
	if err := os.WriteFile(part, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Sweep(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(part); err == nil {
		t.Error("an unfinished download stayed")
	}
}
