// Package embedded holds lkup's init for guests as built by `make build`. In a
// tree where it was not built, it holds nothing and says so when asked.
package embedded

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
)

//go:embed *
var files embed.FS

// Program is a program that can be known without being read: lkup's init is
// some megabytes, and most commands only ask which one it is.
type Program struct {
	SHA256 [sha256.Size]byte
	Bytes  func() []byte
}

// Of is a program whose bytes are at hand.
func Of(program []byte) Program {
	return Program{SHA256: sha256.Sum256(program), Bytes: func() []byte { return program }}
}

// Init is the static Linux program for a guest architecture (GOARCH). Its sum
// was taken when it was built.
func Init(arch string) (Program, error) {
	name := "lkup-init-linux-" + arch
	sum, err := files.ReadFile(name + ".sha256")
	if err != nil {
		return Program{}, fmt.Errorf("this lkup was built without its init for %s guests; build it with: make build", arch)
	}
	var p Program
	if n, err := hex.Decode(p.SHA256[:], []byte(strings.TrimSpace(string(sum)))); err != nil || n != sha256.Size {
		return Program{}, fmt.Errorf("this lkup was built with a damaged sum of its init for %s guests; build it again with: make build", arch)
	}
	p.Bytes = func() []byte {
		program, err := files.ReadFile(name)
		if err != nil {
			panic(err) // it is embedded together with its sum
		}
		return program
	}
	return p, nil
}
