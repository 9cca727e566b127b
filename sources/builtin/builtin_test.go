package builtin_test

import (
	"context"
	"errors"
	"testing"

	"github.com/lkup/lkup/guest/embedded"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/builtin"
	"github.com/lkup/lkup/sources/sourcetest"
	"github.com/lkup/lkup/sources/store"
)

func components(t *testing.T, program string) builtin.Components {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return builtin.Components{Store: s, Init: func(arch string) (embedded.Program, error) {
		if arch != "amd64" {
			return embedded.Program{}, errors.New("build it with: make build")
		}
		return embedded.Of([]byte(program)), nil
	}}
}

func TestInitPassesTheContract(t *testing.T) {
	sourcetest.Components(t, sourcetest.ComponentsCase{
		New: func(t *testing.T) sources.Components { return components(t, "program") },
		Ref: "builtin:init", Arch: "amd64", Files: []string{"init"},
		Bad: map[string]string{"builtin:inti": "there is builtin:init, builtin:kernel and builtin:kernel-containers"},
	})
}

func TestAnotherProgramIsAnotherComponent(t *testing.T) {
	ctx := context.Background()
	one, err := components(t, "one").Resolve(ctx, "builtin:init", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	two := components(t, "two")
	d, err := two.Resolve(ctx, "builtin:init", "amd64")
	if err != nil || d == one {
		t.Errorf("%s and %s, %v", one, d, err)
	}
	if _, err := two.Image(ctx, "builtin:init", "amd64", one, nil); err == nil {
		t.Error("it gave a program that it does not have")
	}
}

func TestALkupWithoutInitSaysHowToBuildIt(t *testing.T) {
	_, err := components(t, "").Resolve(context.Background(), "builtin:init", "riscv64")
	if err == nil || err.Error() != "builtin:init: build it with: make build" {
		t.Errorf("got %v", err)
	}
}
