// Package linuxkit builds bootable images from LinuxKit YAML templates: a
// kernel and a list of initrds, one for each part of the template.
//
// It promises: the same template, files and components give the same bytes,
// on any machine; what is built is kept by the digest of its inputs, so that
// a second build does nothing, and a change builds only the parts it touches.
// It needs no root, runs no container and no program of the images.
package linuxkit

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// Builder builds the images of template blocks, and those of container
// images. It implements [sources.Source].
type Builder struct {
	// Project holds the templates and the files that they show. It must not
	// let a path escape; os.Root.FS does this.
	Project fs.FS
	// ReadSource, if set, reads what "source" of a files entry names, as it is
	// written there. Otherwise it is a file of the project, relative to the
	// template.
	ReadSource func(name string) ([]byte, error)
	// User holds the user's own templates, NAME.yml, with the files that they
	// show; nil if there are none. UserDir is what a person calls it.
	User    fs.FS
	UserDir string
	// NoApt says that this host has no apt: the templates that lkup brings are
	// then those made of pinned OCI images.
	NoApt bool
	// Components gives component images, by the scheme of their refs: "apt",
	// "builtin". Refs without one of these schemes go to "oci".
	Components map[string]sources.Components
	Store      *store.Store
	Arch       string // GOARCH of the guests
	// PackedKernels leaves kernels as their components have them, such as
	// bzImages, which Hyperkit boots; QEMU starts faster from unpacked ones.
	PackedKernels bool

	shown string // goes before names of files in what a person reads
	// Home is where files whose source begins with "~/" lie; nil if there is
	// no such place. Like Project it must not let a path escape.
	Home fs.FS
	// Partial accepts templates that no machine can start from, as LinuxKit
	// does, for what only writes a tar. Fetch refuses them all the same.
	Partial bool
}

// format changes when the same inputs come to give other files.
const format = "linuxkit/1"

// recipe is everything that decides an image.
type recipe struct {
	name     string // of the template, for people
	template *template
	contents [][]byte // of template.Files; nil for a missing optional one
	digests  map[string]sources.Digest
	arch     string
	// container says that the template is lkup's own for a container image,
	// which is then run as Docker would.
	container bool
}

// digest identifies the image by its inputs.
func (r recipe) digest() (sources.Digest, error) {
	description, err := json.Marshal(r.template)
	if err != nil {
		return "", err
	}
	inputs := []string{format, r.arch, string(description)}
	if r.container {
		inputs = append(inputs, "container image")
	}
	for _, ref := range sortedKeys(r.digests) {
		inputs = append(inputs, ref, string(r.digests[ref]))
	}
	for _, content := range r.contents {
		sum := sha256.Sum256(content)
		inputs = append(inputs, fmt.Sprint(content != nil), string(sum[:]))
	}
	return store.Key(inputs...), nil
}

// Resolve reads the template and pins its components. Mistakes in the
// template are a [Mistakes], all of them at once.
func (b *Builder) Resolve(ctx context.Context, img spec.Image) (sources.Digest, error) {
	r, err := b.read(ctx, img)
	if err != nil {
		return "", err
	}
	return r.digest()
}

// Description is what a template's image would be.
type Description struct {
	Digest sources.Digest
	// Key is the same for two descriptions that differ only by what lkup
	// itself brings: its init, its choice of kernel modules, its built-in
	// templates. So a newer lkup has the same key for what the user wrote.
	Key string
	// Inputs are what it is made from, by what a person calls it: files of the
	// project by their paths, and components by their refs.
	Inputs map[string]spec.Input
	// Guest says whether lkup's own init will run in it; nil if only its files
	// tell.
	Guest *bool
}

// Describe reads the template and pins its components, like Resolve.
func (b *Builder) Describe(ctx context.Context, img spec.Image) (Description, error) {
	b, img = b.home(img)
	r, err := b.read(ctx, img)
	if err != nil {
		return Description{}, err
	}
	guest := r.guest()
	d := Description{Inputs: map[string]spec.Input{}, Guest: &guest}
	if d.Digest, err = r.digest(); err != nil {
		return Description{}, err
	}
	for ref, digest := range r.digests {
		d.Inputs["component "+ref] = spec.Input{Content: []byte(digest)}
	}
	if r.container {
		d.Key = r.containerKey()
		return d, nil
	}
	if d.Key, err = r.key(*img.Template); err != nil {
		return Description{}, err
	}
	name, text, err := b.text(*img.Template)
	if err != nil {
		return Description{}, err
	}
	if img.Template.File != "" {
		d.Inputs[path.Join(b.shown, name)] = spec.Input{Content: text, File: true}
	}
	for i, f := range r.template.Files {
		if f.Source != "" {
			source := f.Source
			if !strings.HasPrefix(source, "~/") {
				source = path.Join(b.shown, path.Dir(name), source)
			}
			d.Inputs[source] = spec.Input{Content: r.contents[i], File: true}
		}
	}
	return d, nil
}

// key is the digest of what the user decides.
func (r recipe) key(t spec.Template) (string, error) {
	if t.Builtin != "" {
		content, err := json.Marshal(t)
		return string(store.Key("builtin template", r.arch, string(content))), err
	}
	own := r
	own.digests = map[string]sources.Digest{}
	for ref, digest := range r.digests {
		if !strings.HasPrefix(ref, "builtin:") {
			own.digests[ref] = digest
		}
	}
	digest, err := own.digest()
	return string(digest), err
}

// Stored reports whether an image is here, built.
func (b *Builder) Stored(d sources.Digest) bool {
	_, ok := b.stored(d)
	return ok
}

func (b *Builder) read(ctx context.Context, img spec.Image) (recipe, error) {
	if IsContainer(img) {
		return b.readContainer(ctx, img)
	}
	if img.Template == nil {
		return recipe{}, fmt.Errorf("%s is no template", img.Address)
	}
	b, img = b.home(img)
	name, text, err := b.text(*img.Template)
	if err != nil {
		return recipe{}, fmt.Errorf("read %s: %w", img.Address, err)
	}
	r, err := b.recipe(*img.Template, name, text)
	if err != nil {
		return recipe{}, err
	}
	return r, b.pin(ctx, &r)
}

// recipe is what can be read without a component.
func (b *Builder) recipe(from spec.Template, name string, text []byte) (recipe, error) {
	t, err := parse(path.Join(b.shown, name), text, from.Vars, b.Partial)
	if err != nil {
		return recipe{}, err
	}
	r := recipe{name: strings.Replace(name, "builtin ", "builtin:", 1), template: t, digests: map[string]sources.Digest{}, arch: b.Arch}
	r.contents, err = b.contents(path.Dir(name), t)
	return r, err
}

// Check reads a template and the files that it shows, and says what it tells
// of itself. It needs no store, no component and no network. Mistakes in the
// template are a [Mistakes].
func (b *Builder) Check(img spec.Image) (About, error) {
	if img.Template == nil {
		return About{}, fmt.Errorf("%s is no template", img.Address)
	}
	b, img = b.home(img)
	name, text, err := b.text(*img.Template)
	if err != nil {
		return About{}, fmt.Errorf("read %s: %w", img.Address, err)
	}
	if _, err := b.recipe(*img.Template, name, text); err != nil {
		return About{}, err
	}
	return ReadAbout(name, text)
}

// pin resolves the components of a recipe, all of them even if some fail.
func (b *Builder) pin(ctx context.Context, r *recipe) error {
	var problems []error
	for _, ref := range r.template.refs(b.Arch) {
		d, err := b.resolve(ctx, ref)
		if err != nil {
			problems = append(problems, ref.problem(err))
		}
		r.digests[ref.key(b.Arch)] = d
	}
	return errors.Join(problems...)
}

// home gives the builder and the image as they are where the template lies: a
// template of the user is a file of the user's folder.
func (b *Builder) home(img spec.Image) (*Builder, spec.Image) {
	if img.Template == nil || img.Template.User == "" {
		return b, img
	}
	there, t := *b, *img.Template
	there.Project, there.shown = b.User, b.UserDir
	t.File, t.User = t.User+".yml", ""
	img.Template = &t
	return &there, img
}

func (b *Builder) text(t spec.Template) (name string, text []byte, err error) {
	if t.Builtin != "" {
		text, err = Builtin(t.Builtin, !b.NoApt)
		return "builtin " + t.Builtin, text, err
	}
	name = path.Clean(filepath.ToSlash(t.File))
	if b.Project == nil || !fs.ValidPath(name) {
		return "", nil, fmt.Errorf("template %q lies outside the project", t.File)
	}
	text, err = fs.ReadFile(b.Project, name)
	return name, text, err
}

// refs are the images that the template names, each once for each
// architecture that it is wanted for.
func (t *template) refs(arch string) []wanted {
	var all []wanted
	if t.Kernel != nil && t.Kernel.Image.Text != "" {
		all = append(all, wanted{t.Kernel.Image, arch})
	}
	for _, r := range t.Init {
		all = append(all, wanted{r, arch})
	}
	for _, v := range t.Volumes {
		for _, a := range v.archs(arch) {
			all = append(all, wanted{v.Image, a})
		}
	}
	for _, s := range t.sections() {
		for _, c := range s.containers {
			all = append(all, wanted{c.Image, arch})
		}
	}
	var once []wanted
	for _, w := range all {
		if !slices.ContainsFunc(once, func(o wanted) bool { return o.Text == w.Text && o.arch == w.arch }) {
			once = append(once, w)
		}
	}
	return once
}

// wanted is an image for an architecture.
type wanted struct {
	ref
	arch string // GOARCH
}

// key tells a component apart: its ref, and its architecture where that is not
// the guest's.
func (w wanted) key(guest string) string {
	if w.arch == guest {
		return w.Text
	}
	return w.Text + " for " + w.arch
}

func (b *Builder) resolve(ctx context.Context, w wanted) (sources.Digest, error) {
	components, err := b.components(w.Text)
	if err != nil {
		return "", err
	}
	return components.Resolve(ctx, w.Text, w.arch)
}

func (b *Builder) components(ref string) (sources.Components, error) {
	scheme, _, _ := strings.Cut(ref, ":")
	if c, ok := b.Components[scheme]; ok {
		return c, nil
	}
	if c, ok := b.Components["oci"]; ok {
		return c, nil
	}
	return nil, fmt.Errorf("no source for the component %q: write one of %s", ref, strings.Join(schemes(b.Components), ", "))
}

func schemes(components map[string]sources.Components) []string {
	names := sortedKeys(components)
	for i := range names {
		names[i] += ":..."
	}
	return names
}

// record is the file that an image's digest stands for. It names its parts by
// their keys in the store.
type record struct {
	Arch    string           `json:"arch"`
	Kernel  sources.Digest   `json:"kernel"`
	Initrds []sources.Digest `json:"initrds"`
	Cmdline string           `json:"cmdline"`
	Guest   bool             `json:"guest"`
}

const recordFile = "image.json"

// Fetch builds the image, unless it is in the store: then it opens nothing
// else. Files changed since d was resolved are an error.
func (b *Builder) Fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	if artifact, ok := b.stored(d); ok {
		return artifact, nil
	}
	r, err := b.readAgain(ctx, img, d)
	if err != nil {
		return sources.Artifact{}, err
	}
	if err := b.build(ctx, r, d, report); err != nil {
		return sources.Artifact{}, fmt.Errorf("build %s: %w", img.Address, err)
	}
	artifact, ok := b.stored(d)
	if !ok {
		return sources.Artifact{}, fmt.Errorf("build %s: the image store lost a part of it; run the command again", img.Address)
	}
	return artifact, nil
}

// readAgain reads what d was resolved from.
func (b *Builder) readAgain(ctx context.Context, img spec.Image, d sources.Digest) (recipe, error) {
	r, err := b.read(ctx, img)
	if err != nil {
		return recipe{}, err
	}
	now, err := r.digest()
	if err == nil && now != d {
		err = fmt.Errorf("build %s: its files changed while lkup was at work; run the command again", img.Address)
	}
	return r, err
}

func (b *Builder) build(ctx context.Context, r recipe, d sources.Digest, report sources.Report) error {
	made, err := b.parts(ctx, r, report)
	if err != nil {
		return err
	}
	_, err = b.Store.Build(ctx, d, func(dir string) error {
		content, err := json.Marshal(made)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, recordFile), content, 0o600)
	})
	if err != nil {
		return err
	}
	return b.Store.Note(d, store.Note{Kind: store.Image, Names: []string{r.name}, Arch: r.arch, Inputs: r.digests})
}

// stored is the artifact of d, if all of its parts are here.
func (b *Builder) stored(d sources.Digest) (sources.Artifact, bool) {
	dir, ok := b.Store.Built(d)
	if !ok {
		return sources.Artifact{}, false
	}
	content, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		return sources.Artifact{}, false
	}
	var r record
	if json.Unmarshal(content, &r) != nil {
		return sources.Artifact{}, false
	}
	artifact := sources.Artifact{Digest: d, Arch: r.Arch, Cmdline: r.Cmdline, Guest: r.Guest}
	dir, ok = b.Store.Built(r.Kernel)
	artifact.Kernel = filepath.Join(dir, kernelFile)
	for _, key := range r.Initrds {
		dir, there := b.Store.Built(key)
		artifact.Initrds = append(artifact.Initrds, filepath.Join(dir, segmentFile))
		ok = ok && there
	}
	return artifact, ok
}
