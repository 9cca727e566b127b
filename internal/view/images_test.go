package view_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/sources"
)

func TestImageFilesShowSizesForPeople(t *testing.T) {
	var out bytes.Buffer
	err := view.ImageFiles(&out, view.Style{}, []view.ImageFile{
		{Format: "tar", Path: "a.tar", Size: 1023},
		{Format: "raw-efi", Path: "out/a-efi.img", Size: 9*1024*1024 + 512*1024},
		{Format: "iso-bios", Path: "a.iso", Size: 13 << 20},
		{Format: "vmdk", Path: "a.vmdk", Size: 5000 << 30},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `FORMAT    SIZE     FILE
tar       1023B    a.tar
raw-efi   9.5MiB   out/a-efi.img
iso-bios  13MiB    a.iso
vmdk      5000GiB  a.vmdk
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAStepIsShownOnceAndHarmless(t *testing.T) {
	var out bytes.Buffer
	report := view.Steps(&out, view.Style{})
	var group sync.WaitGroup
	for n := range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			report(sources.Progress{What: "download \x1b[2Jx", Done: int64(n)})
		}()
	}
	group.Wait()
	if got := out.String(); bytes.Count(out.Bytes(), []byte("\n")) != 1 || bytes.Contains(out.Bytes(), []byte{0x1b}) {
		t.Errorf("got %q", got)
	}
}
