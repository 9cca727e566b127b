package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/linuxkit/output"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

type imageCmd struct {
	Ls      imageLsCmd      `cmd:"" help:"List what is in the image store, and which stacks use it."`
	Pull    imagePullCmd    `cmd:"" help:"Fetch or build the stack's images, or these, without applying anything."`
	Inspect imageInspectCmd `cmd:"" help:"Show what an image is made of."`
	Verify  imageVerifyCmd  `cmd:"" help:"Read everything in the image store and name what is damaged."`
	Rm      imageRmCmd      `cmd:"" help:"Remove images that no stack uses."`
	Prune   imagePruneCmd   `cmd:"" help:"Remove what no stack and no generation of one needs."`
	Import  imageImportCmd  `cmd:"" help:"Put an OCI layout, what docker save wrote, or a disk into the image store."`
	Export  imageExportCmd  `cmd:"" help:"Write an image of the store to files."`
	Push    imagePushCmd    `cmd:"" help:"Push a component of the store to a registry."`
	Build   imageBuildCmd   `cmd:"" help:"Build an image from a LinuxKit YAML file, without a stack."`
}

// stdout is the output path that stands for standard output.
const stdout = "-"

// imageBuildCmd builds an image like linuxkit build.
type imageBuildCmd struct {
	File   string   `arg:"" help:"The LinuxKit YAML file, or builtin:NAME."`
	Format []string `name:"format" placeholder:"FORMAT" default:"kernel+initrd" help:"What to write: ${formats}. May be repeated."`
	Output string   `short:"o" name:"output" placeholder:"PATH" default:"." help:"The folder to write to, or the file if there is one alone, or - for standard output."`
	Name   string   `name:"name" placeholder:"NAME" help:"What the files' names begin with; otherwise the name of the YAML file."`
	Vars   []string `name:"var" sep:"none" placeholder:"NAME=VALUE" help:"Give a value to a variable of the file. May be repeated."`
	Arch   string   `name:"arch" placeholder:"ARCH" help:"Build for amd64 or arm64; otherwise for this computer."`
	JSON   bool     `name:"json" help:"Print what was written as JSON."`
}

// Run builds the image and writes its files.
func (c *imageBuildCmd) Run(call *call) error {
	formats, err := c.formats()
	if err != nil {
		return err
	}
	img, err := c.image()
	if err != nil {
		return err
	}
	images, err := c.sources(call.Host, &img)
	if err != nil {
		return err
	}
	report := view.Steps(call.Err, call.errStyle())
	prepare := built
	if slices.Equal(formats, []output.Format{output.Tar}) {
		prepare = packed
	}
	input, err := prepare(call.ctx, images.templates, img, report)
	if err != nil {
		return err
	}
	builder := output.Builder{Store: images.templates.Store, Packages: images.templates.Components["apt"], Report: report}
	var files []output.File
	for _, format := range formats {
		made, err := builder.Build(call.ctx, input, format)
		if err != nil {
			return err
		}
		files = append(files, made...)
	}
	if c.Output == stdout {
		return copyTo(call.Out, files[0].Path)
	}
	return c.write(call, input.Digest, files)
}

func (c *imageBuildCmd) formats() ([]output.Format, error) {
	var formats []output.Format
	for _, name := range c.Format {
		format, err := output.ParseFormat(name)
		if err != nil {
			return nil, usageError{err.Error()}
		}
		if !slices.Contains(formats, format) {
			formats = append(formats, format)
		}
	}
	if c.Output == stdout && (len(formats) != 1 || formats[0] != output.Tar) {
		return nil, usageError{"only --format tar, alone, can go to standard output; name a folder with --output"}
	}
	if c.Output == stdout && c.JSON {
		return nil, usageError{"--json and the tar cannot both go to standard output; name a file with --output"}
	}
	return formats, nil
}

// image is the file as a template.
func (c *imageBuildCmd) image() (spec.Image, error) {
	t := spec.Template{File: c.File}
	if name, ok := strings.CutPrefix(c.File, "builtin:"); ok {
		t = spec.Template{Builtin: name}
	}
	var err error
	if t.Vars, err = assignments(c.Vars); err != nil {
		return spec.Image{}, err
	}
	return spec.Image{Address: spec.Address(c.File), Template: &t}, nil
}

// assignments reads --var flags.
func assignments(flags []string) (map[string]string, error) {
	var vars map[string]string
	for _, given := range flags {
		name, value, ok := strings.Cut(given, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Sprintf("--var %s: write NAME=VALUE", given)}
		}
		if vars == nil {
			vars = map[string]string{}
		}
		vars[name] = value
	}
	return vars, nil
}

// sources reads as linuxkit build does: the file from where it lies, and the
// sources of its files from the working directory.
func (c *imageBuildCmd) sources(host Host, img *spec.Image) (*imageSources, error) {
	if c.Arch != "" && c.Arch != "amd64" && c.Arch != "arm64" {
		return nil, usageError{fmt.Sprintf("--arch %s: write amd64 or arm64", c.Arch)}
	}
	if c.Arch != "" {
		host.Arch = c.Arch
	}
	images, err := newImageSources(host, ".")
	if err != nil {
		return nil, err
	}
	if file := img.Template.File; file != "" && !filepath.IsLocal(file) {
		images.templates.Project = os.DirFS(filepath.Dir(file))
		img.Template.File = filepath.Base(file)
	}
	images.templates.ReadSource = func(name string) ([]byte, error) {
		if below, ok := strings.CutPrefix(name, "~/"); ok {
			name = filepath.Join(host.Home, below)
		}
		return os.ReadFile(name)
	}
	return images, nil
}

// packed is the image as far as a tar needs it, which no machine need be able
// to start from.
func packed(ctx context.Context, templates *linuxkit.Builder, img spec.Image, report sources.Report) (output.Image, error) {
	templates.Partial = true
	d, err := templates.Resolve(ctx, img)
	if err != nil {
		return output.Image{}, err
	}
	return output.Image{
		Digest:   d,
		Arch:     templates.Arch,
		WriteTar: func(ctx context.Context, w io.Writer) error { return templates.WriteTar(ctx, img, d, w, report) },
	}, nil
}

// built is the image with all that the formats are made of.
func built(ctx context.Context, templates *linuxkit.Builder, img spec.Image, report sources.Report) (output.Image, error) {
	d, err := templates.Resolve(ctx, img)
	if err != nil {
		return output.Image{}, err
	}
	artifact, err := templates.Fetch(ctx, img, d, report)
	if err != nil {
		return output.Image{}, err
	}
	kernel, err := templates.Kernel(ctx, img, d, report)
	if err != nil {
		return output.Image{}, err
	}
	return output.Image{
		Digest:   d,
		Arch:     artifact.Arch,
		Cmdline:  artifact.Cmdline,
		Kernel:   kernel.Packed,
		Initrds:  artifact.Initrds,
		RootDisk: kernel.RootDisk,
		WriteTar: func(ctx context.Context, w io.Writer) error { return templates.WriteTar(ctx, img, d, w, report) },
	}, nil
}

// write copies the files out of the store and lists them.
func (c *imageBuildCmd) write(call *call, d sources.Digest, files []output.File) error {
	var rows []view.ImageFile
	for _, f := range files {
		path, err := c.path(f, len(files) == 1)
		if err != nil {
			return err
		}
		size, err := copyFile(path, f.Path)
		if err != nil {
			return err
		}
		rows = append(rows, view.ImageFile{Format: string(f.Format), Path: path, Size: size})
	}
	if c.JSON {
		return view.ImageFilesJSON(call.Out, string(d), rows)
	}
	return view.ImageFiles(call.Out, call.outStyle(), rows)
}

// path is where a file goes: into the folder, or to the path itself if the
// file is alone and the path is no folder.
func (c *imageBuildCmd) path(f output.File, alone bool) (string, error) {
	info, err := os.Stat(c.Output)
	isFolder := err == nil && info.IsDir()
	if alone && !isFolder && !strings.HasSuffix(c.Output, string(filepath.Separator)) {
		return c.Output, nil
	}
	if err := os.MkdirAll(c.Output, 0o755); err != nil {
		return "", err
	}
	return filepath.Join(c.Output, c.name()+f.Suffix), nil
}

func (c *imageBuildCmd) name() string {
	if c.Name != "" {
		return c.Name
	}
	base := filepath.Base(strings.TrimPrefix(c.File, "builtin:"))
	return strings.TrimSuffix(base, filepath.Ext(base))
}

// copyFile puts a copy of from at path, whole or not at all.
func copyFile(path, from string) (size int64, err error) {
	pending, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644))
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	defer func() { _ = pending.Cleanup() }()
	file, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	if size, err = io.Copy(pending, file); err != nil {
		return 0, fmt.Errorf("write %s: %w", path, err)
	}
	return size, pending.CloseAtomicallyReplace()
}

func copyTo(w io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, file)
	return errors.Join(err, file.Close())
}
