package spec

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// fileFunctions read files of the project, and of nowhere else.
func fileFunctions(r *reader) map[string]function.Function {
	hashOf := func(hash func([]byte) []byte) function.Function {
		return fileFunc(r, func(b []byte) (string, error) { return hexOf(hash)(string(b)), nil })
	}
	return map[string]function.Function{
		"file":         fileFunc(r, asText),
		"filebase64":   fileFunc(r, func(b []byte) (string, error) { return base64.StdEncoding.EncodeToString(b), nil }),
		"fileexists":   fileExistsFunc(r),
		"filemd5":      hashOf(md5Hash),
		"fileset":      fileSetFunc(r),
		"filesha1":     hashOf(sha1Hash),
		"filesha256":   hashOf(sha256Hash),
		"filesha512":   hashOf(sha512Hash),
		"templatefile": templateFileFunc(r),
	}
}

// inProject makes a path as written one that fs.FS takes, and refuses to leave
// the project.
func inProject(name string) (string, error) {
	clean := path.Clean(name)
	switch {
	case name == "":
		return "", errors.New("the path is empty; write one relative to the project")
	case path.IsAbs(name):
		return "", fmt.Errorf("%q is absolute, and a stack reads only files of its project; copy it there and write its path relative to the project", name)
	case !fs.ValidPath(clean):
		return "", fmt.Errorf("%q leads out of the project, and a stack reads only files of its project; copy it there", name)
	}
	return clean, nil
}

// open reads a file for a function whose argument n was its path.
func (r *reader) open(name string, n int) ([]byte, error) {
	clean, err := inProject(name)
	if err != nil {
		return nil, function.NewArgError(n, err)
	}
	content, err := r.readFile(clean)
	if err != nil {
		return nil, function.NewArgErrorf(n, "%q cannot be read: %s; paths are relative to the project", name, cause(err))
	}
	return content, nil
}

func asText(content []byte) (string, error) {
	if !utf8.Valid(content) {
		return "", function.NewArgErrorf(0, "the file is not text in UTF-8; use filebase64 for other content")
	}
	return string(content), nil
}

func fileFunc(r *reader, f func([]byte) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			content, err := r.open(args[0].AsString(), 0)
			if err != nil {
				return cty.NilVal, err
			}
			text, err := f(content)
			return cty.StringVal(text), err
		},
	})
}

func fileExistsFunc(r *reader) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			clean, err := inProject(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			info, err := fs.Stat(r.project, clean)
			if errors.Is(err, fs.ErrNotExist) {
				return cty.False, nil
			}
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "%q cannot be looked at: %s", clean, cause(err))
			}
			return cty.BoolVal(info.Mode().IsRegular()), nil
		},
	})
}

// fileSetFunc lists the regular files below a directory that match a pattern.
func fileSetFunc(r *reader) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "pattern", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Set(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			dir, err := inProject(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			pattern := args[1].AsString()
			if strings.HasPrefix(pattern, "/") || strings.Contains("/"+pattern+"/", "/../") {
				return cty.NilVal, function.NewArgErrorf(1, "the pattern leads out of the directory")
			}
			below, err := fs.Sub(r.project, dir)
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			names, err := doublestar.Glob(below, path.Clean(pattern), doublestar.WithFilesOnly(), doublestar.WithFailOnIOErrors())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(1, "%s", cause(err))
			}
			if len(names) == 0 {
				return cty.SetValEmpty(cty.String), nil
			}
			var values []cty.Value
			for _, name := range names {
				values = append(values, cty.StringVal(name))
			}
			return cty.SetVal(values), nil
		},
	})
}

// templateFileFunc renders a file of the project with the given values.
func templateFileFunc(r *reader) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType, AllowMarked: true}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			vars, marks := args[1].Unmark()
			if ty := vars.Type(); vars.IsNull() || !ty.IsMapType() && !ty.IsObjectType() {
				return cty.NilVal, function.NewArgErrorf(1, "it must be a map of values; write {} for none")
			}
			if !vars.IsKnown() {
				return cty.UnknownVal(cty.String).WithMarks(marks), nil
			}
			v, err := r.render(args[0].AsString(), vars.AsValueMap())
			if err != nil {
				return cty.NilVal, err
			}
			return v.WithMarks(marks), nil
		},
	})
}

func (r *reader) render(name string, vars map[string]cty.Value) (cty.Value, error) {
	content, err := r.open(name, 0)
	if err != nil {
		return cty.NilVal, err
	}
	template, diags := hclsyntax.ParseTemplate(content, name, hcl.InitialPos)
	if diags.HasErrors() {
		return cty.NilVal, function.NewArgErrorf(0, "%s", inTemplate(diags))
	}
	for _, t := range template.Variables() {
		if _, ok := vars[t.RootName()]; !ok {
			return cty.NilVal, function.NewArgErrorf(1, "there is no value for %q, which %s uses; add it to this map", t.RootName(), place(t.SourceRange()))
		}
	}
	functions := newFunctions(r)
	delete(functions, "templatefile") // a template that renders itself would never end
	v, diags := template.Value(&hcl.EvalContext{Variables: vars, Functions: functions})
	if diags.HasErrors() {
		return cty.NilVal, function.NewArgErrorf(0, "%s", inTemplate(diags))
	}
	return convert.Convert(v, cty.String)
}

func inTemplate(diags hcl.Diagnostics) string {
	d := diags[0]
	text := strings.ToLower(d.Summary[:1]) + d.Summary[1:] + ": " + strings.TrimSuffix(d.Detail, ".")
	if d.Subject == nil {
		return text
	}
	return place(*d.Subject) + ": " + text
}
