package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/lock"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

type imageImportCmd struct {
	dirFlag
	File string `arg:"" help:"An OCI image layout (a folder), what docker save wrote, or a disk image."`
	As   string `name:"as" placeholder:"REF" help:"Lock this ref to the container image, in the project's lkup.lock.hcl: it is then had without a registry."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *imageImportCmd) Run(call *call) error {
	dir, err := realDir(c.Dir)
	if err != nil {
		return err
	}
	ref, err := importRef(c.File)
	if err != nil {
		return err
	}
	images, err := newImageSources(call.Host, dir)
	if err != nil {
		return err
	}
	isDisk := strings.HasPrefix(ref, "file:")
	if isDisk && c.As != "" {
		return usageError{"--as is for container images; write the disk's path into the stack file, as file:PATH"}
	}
	var p pulled
	if isDisk {
		p, err = images.pullOne(call.ctx, spec.Image{Address: spec.Address(ref), Source: ref}, view.Steps(call.Err, call.errStyle()))
	} else {
		p.digest, err = images.importComponent(call.ctx, ref, c.As, view.Steps(call.Err, call.errStyle()))
	}
	if err != nil {
		return err
	}
	if c.As != "" {
		images.book.Set(lock.Component(c.As, call.Arch), p.digest)
		if err := images.lock(call.ctx, true); err != nil {
			return err
		}
	}
	show := imagePullCmd{JSON: c.JSON}
	return show.show(call, images, []pulled{p})
}

// importRef is the ref of what lies at a path, by looking at it.
func importRef(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return "", fmt.Errorf("import: %w", err)
	}
	if info.IsDir() {
		return "oci-layout:" + abs, nil
	}
	file, err := os.Open(abs)
	if err != nil {
		return "", fmt.Errorf("import: %w", err)
	}
	defer func() { _ = file.Close() }()
	if _, err := tar.NewReader(file).Next(); err == nil {
		return "docker-archive:" + abs, nil
	}
	return "file:" + abs, nil
}

// importComponent unpacks a container image into the store, under the digest
// of its manifest.
func (s *imageSources) importComponent(ctx context.Context, ref, as string, report sources.Report) (sources.Digest, error) {
	arch := s.templates.Arch
	c := s.components(ref)
	d, err := c.Resolve(ctx, ref, arch)
	if err != nil {
		return "", err
	}
	image, err := c.Image(ctx, ref, arch, d, report)
	if err != nil {
		return "", err
	}
	if d, err = s.keepManifest(ctx, image); err != nil {
		return "", fmt.Errorf("import %s: %w", ref, err)
	}
	names := []string{ref}
	if as != "" {
		names = append(names, as)
	}
	return d, s.store.Note(d, store.Note{Kind: store.Component, Names: names, Arch: arch})
}

// keepManifest stores what a registry would say of an image whose layers are
// here.
func (s *imageSources) keepManifest(ctx context.Context, image v1.Image) (sources.Digest, error) {
	config, err := image.RawConfigFile()
	if err != nil {
		return "", err
	}
	if _, err := s.store.Put(ctx, config); err != nil {
		return "", err
	}
	manifest, err := image.RawManifest()
	if err != nil {
		return "", err
	}
	return s.store.Put(ctx, manifest)
}

type imageExportCmd struct {
	Image  string `arg:"" help:"A digest, the beginning of one, or a name that lkup image ls shows."`
	Output string `short:"o" name:"output" required:"" placeholder:"PATH" help:"A disk's file; what the names of kernel, initrd and cmdline begin with; a component's folder, as an OCI layout, or its FILE.tar, as docker save writes it."`
}

func (c *imageExportCmd) Run(call *call) error {
	images, e, err := stored(call.Host, c.Image)
	if err != nil {
		return err
	}
	switch e.Kind {
	case store.Component:
		return images.exportComponent(call.ctx, e, c.Output)
	case store.Disk, store.Image:
		return images.exportFiles(call.ctx, e, c.Output)
	case store.Layer, store.Part, store.Blob:
	}
	return fmt.Errorf("%s is a %s, a part of an image; lkup image ls lists images", c.Image, e.Kind)
}

// stored finds an entry, and keeps the network out of what is done with it.
func stored(host Host, name string) (*imageSources, store.Entry, error) {
	images, err := openImageSources(host, ".", imageUse{offline: true})
	if err != nil {
		return nil, store.Entry{}, err
	}
	i, err := takeInventory(host, images.store)
	if err != nil {
		return nil, store.Entry{}, err
	}
	e, err := i.find(name)
	return images, e, err
}

// component opens a component that is in the store.
func (s *imageSources) component(ctx context.Context, e store.Entry) (v1.Image, error) {
	var problems []error
	for _, ref := range e.Names {
		image, err := s.components(ref).Image(ctx, ref, e.Arch, e.Digest, nil)
		if err == nil {
			return image, nil
		}
		problems = append(problems, err)
	}
	return nil, errors.Join(append(problems, fmt.Errorf("%s cannot be opened", e.Digest.Short()))...)
}

func (s *imageSources) exportComponent(ctx context.Context, e store.Entry, path string) error {
	image, err := s.component(ctx, e)
	if err != nil {
		return err
	}
	if strings.HasSuffix(path, ".tar") {
		tag, err := name.NewTag("lkup.local/exported:" + e.Digest.Short())
		if err != nil {
			return err
		}
		return tarball.WriteToFile(path, tag, image)
	}
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already", path)
	}
	folder, err := layout.Write(path, empty.Index)
	if err != nil {
		return err
	}
	return folder.AppendImage(image, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: e.Arch}))
}

// exportFiles writes an image as the source file: reads it.
func (s *imageSources) exportFiles(ctx context.Context, e store.Entry, path string) error {
	artifact, err := s.artifact(ctx, e)
	if err != nil {
		return err
	}
	if artifact.Disk != "" {
		_, err := copyFile(path, artifact.Disk)
		return err
	}
	if _, err := copyFile(path+"-kernel", artifact.Kernel); err != nil {
		return err
	}
	if err := os.WriteFile(path+"-cmdline", []byte(artifact.Cmdline+"\n"), 0o644); err != nil {
		return err
	}
	return joined(path+"-initrd.img", artifact.Initrds)
}

func (s *imageSources) artifact(ctx context.Context, e store.Entry) (sources.Artifact, error) {
	if s.templates.Stored(e.Digest) {
		return s.templates.Fetch(ctx, spec.Image{}, e.Digest, nil)
	}
	return s.schemes["file"].Fetch(ctx, spec.Image{}, e.Digest, nil)
}

// joined writes files one after another.
func joined(path string, parts []string) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	for _, part := range parts {
		in, err := os.Open(part)
		if err != nil {
			return errors.Join(err, out.Close())
		}
		_, err = io.Copy(out, in)
		if err = errors.Join(err, in.Close()); err != nil {
			return errors.Join(err, out.Close())
		}
	}
	return out.Close()
}

type imagePushCmd struct {
	Image string `arg:"" help:"A component: a digest, the beginning of one, or a name that lkup image ls shows."`
	To    string `arg:"" name:"ref" help:"Where to, as docker push writes it: HOST/NAME:TAG."`
}

// Run pushes a component as an ordinary container image.
func (c *imagePushCmd) Run(call *call) error {
	images, e, err := stored(call.Host, c.Image)
	if err != nil {
		return err
	}
	if e.Kind != store.Component {
		return fmt.Errorf("%s is a %s, and registries take components; lkup image export writes it to files", c.Image, e.Kind)
	}
	to, err := name.ParseReference(c.To)
	if err != nil {
		return usageError{err.Error()}
	}
	image, err := images.component(call.ctx, e)
	if err != nil {
		return err
	}
	if err := remote.Write(to, image, remote.WithContext(call.ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("lkup")); err != nil {
		return fmt.Errorf("push %s: %w", c.To, err)
	}
	d, err := image.Digest()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(call.Out, "%s@%s\n", to.Context().Name(), d)
	return err
}
