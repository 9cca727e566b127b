package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"github.com/hashicorp/hcl/v2"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/spec"
)

type fmtCmd struct {
	Paths []string `arg:"" optional:"" help:"Stack files, or directories of them. Default: the current directory."`
	Check bool     `help:"Change nothing; list files that are not in the canonical style and exit with 1."`
}

func (c *fmtCmd) Run(call *call) error {
	files, err := stackFiles(c.Paths)
	if err != nil {
		return err
	}
	var diags hcl.Diagnostics
	sources := map[string]*hcl.File{}
	unformatted := false
	for _, file := range files {
		old, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		formatted, found := spec.Format(file, old)
		diags = append(diags, found...)
		sources[file] = &hcl.File{Bytes: old}
		if found.HasErrors() || bytes.Equal(old, formatted) {
			continue
		}
		unformatted = true
		fmt.Fprintln(call.Out, file)
		if c.Check {
			continue
		}
		if err := rewrite(file, formatted); err != nil {
			return err
		}
	}
	if diags.HasErrors() {
		return &invalidStack{diags: diags, files: sources}
	}
	if c.Check && unformatted {
		return exitError(exitFailed)
	}
	return nil
}

// stackFiles lists the HCL stack files that the arguments name.
func stackFiles(paths []string) ([]string, error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		for _, pattern := range []string{"lkup.hcl", "*.lkup.hcl"} {
			found, err := filepath.Glob(filepath.Join(path, pattern))
			if err != nil {
				return nil, err
			}
			files = append(files, found...)
		}
	}
	sort.Strings(files)
	return files, nil
}

// rewrite replaces a file of the user's, keeping its mode.
func rewrite(path string, content []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return state.WriteFile(path, content, info.Mode().Perm())
}
