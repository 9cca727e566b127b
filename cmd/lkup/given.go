package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/lkup/lkup/spec"
)

// givenFlags are --var or --var-file as typed. The two kinds are put in one
// order, because the later wins.
type givenFlags []givenFlag

type givenFlag struct {
	left int // how much of the command line was left to read
	text string
}

// Decode takes one flag's value.
func (g *givenFlags) Decode(ctx *kong.DecodeContext) error {
	var text string
	if err := ctx.Scan.PopValueInto("value", &text); err != nil {
		return err
	}
	*g = append(*g, givenFlag{left: ctx.Scan.Len(), text: text})
	return nil
}

// given gathers the values for variables that do not come from the
// environment, the weakest first: lkup.lkupvars, lkup.lkupvars.json, files
// *.auto.lkupvars and *.auto.lkupvars.json by name, then flags as typed.
func given(project fs.FS, flags stackFlags) ([]spec.Given, error) {
	all, err := automatic(project)
	if err != nil {
		return nil, err
	}
	type one struct {
		givenFlag
		file bool
	}
	var typed []one
	for _, f := range flags.Var {
		typed = append(typed, one{f, false})
	}
	for _, f := range flags.VarFile {
		typed = append(typed, one{f, true})
	}
	slices.SortStableFunc(typed, func(a, b one) int { return cmp.Compare(b.left, a.left) })
	for _, f := range typed {
		if f.file {
			content, err := os.ReadFile(f.text)
			if err != nil {
				return nil, fmt.Errorf("read --var-file: %w", err)
			}
			all = append(all, spec.Given{File: f.text, Content: content})
			continue
		}
		name, value, found := strings.Cut(f.text, "=")
		if !found || name == "" {
			return nil, usageError{fmt.Sprintf("--var takes a name and a value: write --var %s=VALUE", cmp.Or(name, "NAME"))}
		}
		all = append(all, spec.Given{Name: name, Text: value})
	}
	return all, nil
}

// automatic reads the files of values that need not be named.
func automatic(project fs.FS) ([]spec.Given, error) {
	entries, err := fs.ReadDir(project, ".")
	if err != nil {
		return nil, fmt.Errorf("read the project's directory: %w", err)
	}
	var names []string
	for _, entry := range entries { // sorted by name
		name := entry.Name()
		if !strings.HasPrefix(name, ".") && (strings.HasSuffix(name, ".auto.lkupvars") || strings.HasSuffix(name, ".auto.lkupvars.json")) {
			names = append(names, name)
		}
	}
	var all []spec.Given
	for _, name := range append([]string{"lkup.lkupvars", "lkup.lkupvars.json"}, names...) {
		content, err := fs.ReadFile(project, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read values of variables: %w", err)
		}
		all = append(all, spec.Given{File: name, Content: content})
	}
	return all, nil
}
