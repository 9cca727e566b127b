//go:build !linux

package share

import (
	"errors"
	"os"
)

// Enforceable says why nothing in a directory can be protected here: file
// systems of other systems know one file by several names.
func Enforceable(string, []string) error {
	return errors.New("lkup protects paths of shares on Linux only")
}

// Serve serves nothing here.
func Serve([]*os.File, []Served) error { return Enforceable("", nil) }
