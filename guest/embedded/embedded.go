// Package embedded holds lkup's init for guests as built by `make build`. In a
// tree where it was not built, it holds nothing and says so when asked.
package embedded

import (
	"embed"
	"fmt"
)

//go:embed *
var files embed.FS

// Init is the static Linux program for a guest architecture (GOARCH).
func Init(arch string) ([]byte, error) {
	program, err := files.ReadFile("lkup-init-linux-" + arch)
	if err != nil {
		return nil, fmt.Errorf("this lkup was built without its init for %s guests; build it with: make build", arch)
	}
	return program, nil
}
