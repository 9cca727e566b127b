package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/embedded"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/apt"
	"github.com/lkup/lkup/sources/builtin"
	"github.com/lkup/lkup/sources/dockerarchive"
	"github.com/lkup/lkup/sources/file"
	"github.com/lkup/lkup/sources/lock"
	"github.com/lkup/lkup/sources/ocilayout"
	"github.com/lkup/lkup/sources/offline"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// imageSources gives every image to the source of its scheme.
type imageSources struct {
	store     *store.Store
	book      *lock.Book      // the project's lock file
	missing   *offline.Ledger // nil unless the network may not be used
	dir       string          // the project's
	templates *linuxkit.Builder
	schemes   map[string]sources.Source
	foreign   func() (*imageSources, error) // the same for guests of another architecture
}

// of is where an image's sources are: they are for one kind of computer each.
func (s *imageSources) of(img spec.Image) (*imageSources, error) {
	if img.Arch == "" || s.foreign == nil {
		return s, nil
	}
	return s.foreign()
}

// imageUse says how images are had in one run.
type imageUse struct {
	offline bool // the network may not be used
	upgrade bool // what is locked is resolved again
}

// newImageSources wires the sources as most commands need them.
func newImageSources(host Host, dir string) (*imageSources, error) {
	return openImageSources(host, dir, imageUse{})
}

// openImageSources wires the sources. Templates and files are read from the
// project's directory, and so is its lock file, whose mistakes are an
// [invalidStack].
func openImageSources(host Host, dir string, use imageUse) (*imageSources, error) {
	images, err := openStore(host)
	if err != nil {
		return nil, err
	}
	pins, err := readLockFile(dir)
	if err != nil {
		return nil, err
	}
	s := &imageSources{store: images, book: lock.Open(pins, use.upgrade), dir: dir}
	if use.offline {
		s.missing = &offline.Ledger{}
	}
	user, err := readSettings(host)
	if err != nil {
		return nil, err
	}
	if err := s.wire(host, user, use); err != nil {
		return nil, err
	}
	other, there := *s, host
	if there.Arch = spec.ArchARM64; host.Arch == there.Arch {
		there.Arch = spec.ArchAMD64
	}
	s.foreign = sync.OnceValues(func() (*imageSources, error) { return &other, other.wire(there, user, use) })
	return s, nil
}

// wire makes the sources, for guests of the host's architecture.
func (s *imageSources) wire(host Host, user settings, use imageUse) error {
	images, dir := s.store, s.dir
	pulled, err := registries(host, images, user, proxy(use))
	if err != nil {
		return err
	}
	packages := apt.New(apt.Settings{Store: images, Now: host.Now, Offline: use.offline})
	kernel := packages.Kernel(guest.Modules())
	containerKernel := packages.Kernel(append(guest.Modules(), guest.ContainerModules()...))
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	components := map[string]sources.Components{
		"apt":            packages,
		"builtin":        builtin.Components{Store: images, Init: embedded.Init, Kernel: kernel, ContainerKernel: containerKernel},
		"oci":            s.book.Components(pulled),
		"oci-layout":     ocilayout.Components{Store: images, Dir: dir},
		"docker-archive": dockerarchive.Components{Store: images, Dir: dir},
	}
	for scheme, c := range components {
		components[scheme] = s.guarded(images.Noted(c))
	}
	home, err := homeFiles(host.Home)
	if err != nil {
		return err
	}
	s.templates = templateReader(host, root.FS(), home)
	s.templates.Store, s.templates.Components = images, components
	if s.schemes, err = downloads(host, images, user, proxy(use)); err != nil {
		return err
	}
	for scheme, source := range s.schemes {
		s.schemes[scheme] = s.book.Source(source, host.Arch)
	}
	s.schemes["file"] = file.Source{Store: images, Dir: dir, Arch: host.Arch}
	return nil
}

// templateReader reads templates, and cannot build them yet.
func templateReader(host Host, project, home fs.FS) *linuxkit.Builder {
	_, noApt := missingApt()
	own := openUserTemplates(host)
	return &linuxkit.Builder{Project: project, User: own.files, UserDir: own.dir, NoApt: noApt, Home: home, Arch: host.Arch, PackedKernels: host.autoDriver() == "hyperkit"}
}

// close lets go of the image store, for those who live longer than one use of
// it: nothing can be deleted from it meanwhile.
func (s *imageSources) close() { _ = s.store.Close() }

// openStore opens the image store that all stacks share.
func openStore(host Host) (*store.Store, error) { return store.Open(storeDir(host)) }

func storeDir(host Host) string { return filepath.Join(host.Layout().Cache, "store") }

// guarded keeps components off the network, if it may not be used.
func (s *imageSources) guarded(c sources.Components) sources.Components {
	if s.missing == nil {
		return c
	}
	return s.missing.Components(c)
}

// proxy is the way to the network, or none.
func proxy(use imageUse) func(*http.Request) (*url.URL, error) {
	if !use.offline {
		return http.ProxyFromEnvironment
	}
	return func(*http.Request) (*url.URL, error) { return nil, sources.ErrOffline }
}

// Resolve pins an image to a digest.
func (s *imageSources) Resolve(ctx context.Context, img spec.Image) (sources.Digest, error) {
	source, err := s.source(img)
	if err != nil {
		return "", err
	}
	return source.Resolve(ctx, img)
}

// Fetch brings the image's files here.
func (s *imageSources) Fetch(ctx context.Context, img spec.Image, d sources.Digest, report sources.Report) (sources.Artifact, error) {
	s, err := s.of(img)
	if err != nil {
		return sources.Artifact{}, err
	}
	source, err := s.source(img)
	if err != nil {
		return sources.Artifact{}, err
	}
	artifact, err := source.Fetch(ctx, img, d, report)
	if err != nil || source == s.templates { // which makes notes itself
		return artifact, err
	}
	kind := store.Image
	if artifact.Disk != "" {
		kind = store.Disk
	}
	return artifact, s.store.Note(d, store.Note{Kind: kind, Names: append([]string{img.Source}, img.Fallbacks...), Arch: artifact.Arch})
}

// Describe resolves an image and says what it is made from. One that is
// fetched as it is has neither key nor inputs.
func (s *imageSources) Describe(ctx context.Context, img spec.Image) (linuxkit.Description, error) {
	s, err := s.of(img)
	if err != nil {
		return linuxkit.Description{}, err
	}
	if source, err := s.source(img); err == nil && source == s.templates {
		return s.templates.Describe(ctx, img)
	}
	d, err := s.Resolve(ctx, img)
	described := linuxkit.Description{Digest: d}
	if !slices.ContainsFunc(append([]string{img.Source}, img.Fallbacks...), func(ref string) bool { return linuxkit.IsContainer(spec.Image{Source: ref}) }) {
		described.Guest = new(bool) // no ready image has lkup's init
	}
	return described, err
}

// sourceSchemes are the schemes that an image's ref may have.
func sourceSchemes() []string {
	all := append(linuxkit.ContainerSchemes(), "file", "github", "http", "https")
	slices.Sort(all)
	return all
}

func (s *imageSources) source(img spec.Image) (sources.Source, error) {
	s, err := s.of(img)
	if err != nil {
		return nil, err
	}
	if img.Template != nil || linuxkit.IsContainer(img) && len(img.Fallbacks) == 0 {
		return s.templates, nil
	}
	source, err := s.ofRefs(img)
	if err != nil || s.missing == nil {
		return source, err
	}
	return s.missing.Source(source), nil
}

// ofRefs is the source of an image's ref, or of all of its refs in order.
func (s *imageSources) ofRefs(img spec.Image) (sources.Source, error) {
	var options []sources.Option
	for _, ref := range append([]string{img.Source}, img.Fallbacks...) {
		scheme, _, _ := strings.Cut(ref, ":")
		source, found := s.schemes[scheme]
		switch {
		case linuxkit.IsContainer(spec.Image{Source: ref}):
			source = s.templates
		case !found:
			return nil, fmt.Errorf("no source for %q; give a path as \"file:PATH\", a container image as \"oci:%s\"", ref, ref)
		}
		options = append(options, sources.Option{Ref: ref, Source: source})
	}
	if len(options) == 1 {
		return options[0].Source, nil
	}
	return sources.InOrder(options), nil
}

// homeFiles are the user's files, which templates show as "~/...". A user
// without a home has none.
func homeFiles(home string) (fs.FS, error) {
	root, err := os.OpenRoot(home)
	if home == "" || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return root.FS(), nil
}
