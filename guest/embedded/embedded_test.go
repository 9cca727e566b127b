package embedded_test

import (
	"testing"

	"github.com/lkup/lkup/guest/embedded"
)

// A sum that is not the program's would hide that an image has to be built.
func TestTheSumIsThePrograms(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		program, err := embedded.Init(arch)
		if err != nil {
			t.Fatal(err)
		}
		if got := embedded.Of(program.Bytes()).SHA256; got != program.SHA256 {
			t.Errorf("the program for %s has %x, and its sum says %x: run make guest", arch, got, program.SHA256)
		}
	}
}
