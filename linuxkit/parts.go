package linuxkit

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// Names of the files that parts are stored as.
const (
	segmentFile = "segment.cpio"
	kernelFile  = "kernel"
)

// segment is a part of the initrd: an archive of its own, kept by a key that
// says all that decides it.
type segment struct {
	key    sources.Digest // says nothing of origin, which no initrd holds
	what   string
	origin origin
	write  func(archive) error
}

// component is an image of the template, opened.
type component struct {
	ref    string
	digest sources.Digest
	image  v1.Image
	tree   *tree
}

// parts builds every part of the image that is not in the store.
func (b *Builder) parts(ctx context.Context, r recipe, report sources.Report) (record, error) {
	components, err := b.open(ctx, r, report)
	if err != nil {
		return record{}, err
	}
	made := record{Arch: r.arch, Cmdline: r.cmdline(), Guest: r.guest()}
	kernel := components[r.template.Kernel.Image.Text]
	if made.Kernel, err = b.kernel(ctx, r, kernel, report); err != nil {
		return record{}, err
	}
	segments, err := r.segments(components)
	if err != nil {
		return record{}, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, s := range segments {
		made.Initrds = append(made.Initrds, s.key)
		group.Go(func() error { return b.segment(ctx, s, report) })
	}
	return made, group.Wait()
}

func (b *Builder) segment(ctx context.Context, s segment, report sources.Report) error {
	_, err := b.Store.Build(ctx, s.key, func(dir string) error {
		if report != nil {
			report(sources.Progress{What: "pack " + s.what})
		}
		return writeSegment(filepath.Join(dir, segmentFile), s.write)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.what, err)
	}
	return nil
}

// open fetches the components of the template, several at once.
func (b *Builder) open(ctx context.Context, r recipe, report sources.Report) (map[string]component, error) {
	refs := r.template.refs()
	opened := make([]component, len(refs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, ref := range refs {
		group.Go(func() error {
			c, err := b.openOne(ctx, ref.Text, r.digests[ref.Text], report)
			if err != nil {
				return fmt.Errorf("%s: %w", ref.At, err)
			}
			opened[i] = c
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	byRef := map[string]component{}
	for _, c := range opened {
		byRef[c.ref] = c
	}
	return byRef, nil
}

func (b *Builder) openOne(ctx context.Context, ref string, d sources.Digest, report sources.Report) (component, error) {
	from, err := b.components(ref)
	if err != nil {
		return component{}, err
	}
	image, err := from.Image(ctx, ref, b.Arch, d, report)
	if err != nil {
		return component{}, err
	}
	tree, err := readTree(image)
	if err != nil {
		return component{}, fmt.Errorf("%s: %w", ref, err)
	}
	return component{ref: ref, digest: d, image: image, tree: tree}, nil
}

// guest says whether lkup's own init runs in the image.
func (r recipe) guest() bool {
	return slices.ContainsFunc(r.template.Init, func(ref ref) bool { return ref.Text == "builtin:init" })
}

// cmdline is the template's, or one that boots fast and shows what matters on
// the serial console. cryptomgr.notests and noreplace-smp save a third of a
// second of emulated boot; panic=-1 makes a panic end the machine.
func (r recipe) cmdline() string {
	if r.template.Kernel.Cmdline != nil {
		return *r.template.Kernel.Cmdline
	}
	console := "ttyS0"
	if r.arch == "arm64" {
		console = "ttyAMA0"
	}
	return "console=" + console + " quiet cryptomgr.notests noreplace-smp panic=-1"
}

// binary is the name of the kernel in its component.
func (k kernel) binary() string {
	if k.Binary == "" {
		return "kernel"
	}
	return k.Binary
}

// tar is the name of its files in its component, or "none".
func (k kernel) tar() string {
	if k.Tar == "" {
		return "kernel.tar"
	}
	return k.Tar
}

// kernel stores the kernel in the form that boots fastest.
func (b *Builder) kernel(ctx context.Context, r recipe, c component, report sources.Report) (sources.Digest, error) {
	binary := r.template.Kernel.binary()
	key := store.Key(format, "kernel", string(c.digest), binary)
	_, err := b.Store.Build(ctx, key, func(dir string) error {
		if report != nil {
			report(sources.Progress{What: "unpack kernel"})
		}
		packed, err := c.read(binary)
		if err != nil {
			return err
		}
		kernel, err := bootable(packed)
		if err != nil {
			return fmt.Errorf("%s: %w", c.ref, err)
		}
		return os.WriteFile(filepath.Join(dir, kernelFile), kernel, 0o600)
	})
	return key, err
}

// read is a file of the component, whole.
func (c component) read(name string) ([]byte, error) {
	entries, err := c.tree.place(nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.ref, err)
	}
	entry, ok := entries[entryName(name)]
	if !ok || entry.header.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("%s has no file %q", c.ref, name)
	}
	var content []byte
	err = c.tree.eachEntry(entry.layer, func(n int, h tar.Header, r io.Reader) error {
		if n == entry.n {
			content, err = io.ReadAll(r)
			return errors.Join(err, errFound)
		}
		return nil
	})
	if !errors.Is(err, errFound) {
		return nil, fmt.Errorf("%s: read %s: %w", c.ref, name, err)
	}
	return content, nil
}

// errFound ends a search through a layer.
var errFound = errors.New("found")

// segments are the parts of the initrd in LinuxKit's order; where two have
// one file, the later one counts.
func (r recipe) segments(components map[string]component) ([]segment, error) {
	usr := r.usrLinks(components)
	list := r.modules(components, usr)
	withRunc := false
	for i, ref := range r.template.Init {
		c := components[ref.Text]
		entries, err := c.tree.place(usr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ref, err)
		}
		withRunc = withRunc || has(entries, runcPaths...)
		list = append(list, segment{
			key:    store.Key(format, "init", string(c.digest), strings.Join(usr, " ")),
			what:   c.ref,
			origin: originOf(ref, fmt.Sprintf("init[%d]", i)),
			write: func(a archive) error {
				return c.tree.unpack(a, "", entries, true)
			},
		})
	}
	bundles, err := r.bundles(components)
	if err != nil {
		return nil, err
	}
	if len(bundles) > 0 && !withRunc {
		return nil, Mistakes{{r.template.Init[0].At, "onboot and services need runc, and no component of init has it; add apt:runc to init"}}
	}
	list = append(list, bundles...)
	if len(r.template.Files) == 0 {
		return list, nil
	}
	return append(list, r.files(usr)), nil
}

// runcPaths are where init looks for runc.
var runcPaths = []string{
	"usr/bin/runc", "bin/runc", "usr/sbin/runc", "sbin/runc", "usr/local/bin/runc", "usr/local/sbin/runc",
}

// usrLinks are the folders of the guest's root that any component of init
// makes a link into usr. All of them must then see it so: the kernel would
// not unpack one component's /lib/x behind another's link.
func (r recipe) usrLinks(components map[string]component) []string {
	var links []string
	for _, ref := range r.template.Init {
		links = append(links, components[ref.Text].tree.linksIntoUsr()...)
	}
	slices.Sort(links)
	return slices.Compact(links)
}

// modules is the kernel's own tree of files, if the template wants it.
func (r recipe) modules(components map[string]component, usr []string) []segment {
	name := r.template.Kernel.tar()
	if name == "none" {
		return nil
	}
	c := components[r.template.Kernel.Image.Text]
	return []segment{{
		key:    store.Key(format, "modules", string(c.digest), name, strings.Join(usr, " ")),
		what:   c.ref,
		origin: originOf(r.template.Kernel.Image, kernelLocation),
		write: func(a archive) error {
			content, err := c.read(name)
			if err != nil {
				return err
			}
			return unpackTar(a, content, usr)
		},
	}}
}

// unpackTar writes the entries of a tar at the root.
func unpackTar(a archive, content []byte, usr []string) error {
	entries := tar.NewReader(bytes.NewReader(content))
	made := map[string]bool{}
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		header.Name = entryName(header.Name)
		h := intoUsr(*header, usr)
		if h.Name == "" {
			continue
		}
		above := tar.Header{Name: h.Name, Mode: 0o755}
		if err := parents(a, above, made); err != nil {
			return err
		}
		made[h.Name] = true
		if err := a.add(h, entries); err != nil {
			return err
		}
	}
}

// files is the files section.
func (r recipe) files(usr []string) segment {
	inputs := []string{format, "files", strings.Join(usr, " ")}
	ids := r.template.identities()
	for i, f := range r.template.Files {
		h, _ := f.header(ids)
		inputs = append(inputs, fmt.Sprint(h.Typeflag, h.Mode, h.Uid, h.Gid, r.contents[i] != nil), h.Name, h.Linkname, string(r.contents[i]))
	}
	return segment{key: store.Key(inputs...), what: "files", write: func(a archive) error {
		return writeFiles(a, r.template.Files, r.contents, usr, ids)
	}}
}
