package linuxkit

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	raw    func() ([]byte, error) // instead of write: a whole archive, as it is
}

// writeRaw pads to 4, so that another archive may follow.
func (s segment) writeRaw(name string) error {
	content, err := s.raw()
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(content, make([]byte, (4-len(content)%4)%4)...), 0o600)
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
	if missing := r.template.missing(nil); len(missing) > 0 {
		return record{}, missing
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
	for _, s := range slices.Concat(r.microcode(components), []segment{bootFolder()}, segments) {
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
		name := filepath.Join(dir, segmentFile)
		if s.raw != nil {
			return s.writeRaw(name)
		}
		return writeSegment(name, s.write)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.what, err)
	}
	return nil
}

// open fetches the components of the template, several at once.
func (b *Builder) open(ctx context.Context, r recipe, report sources.Report) (map[string]component, error) {
	refs := r.template.refs(r.arch)
	opened := make([]component, len(refs))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, ref := range refs {
		group.Go(func() error {
			c, err := b.openOne(ctx, ref, r.digests[ref.key(r.arch)], report)
			if err != nil {
				return ref.problem(err)
			}
			opened[i] = c
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	byRef := map[string]component{}
	for i, c := range opened {
		byRef[refs[i].key(r.arch)] = c
	}
	return byRef, nil
}

func (b *Builder) openOne(ctx context.Context, w wanted, d sources.Digest, report sources.Report) (component, error) {
	ref := w.Text
	from, err := b.components(ref)
	if err != nil {
		return component{}, err
	}
	image, err := from.Image(ctx, ref, w.arch, d, report)
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
	if r.template.Kernel != nil && r.template.Kernel.Cmdline != nil {
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
	if k.Tar == nil {
		return "kernel.tar"
	}
	return *k.Tar
}

// kernel stores the kernel in the form that boots fastest.
func (b *Builder) kernel(ctx context.Context, r recipe, c component, report sources.Report) (sources.Digest, error) {
	binary := r.template.Kernel.binary()
	key := store.Key(format, "kernel", string(c.digest), binary)
	if b.PackedKernels {
		key = store.Key(format, "packed kernel", string(c.digest), binary)
	}
	_, err := b.Store.Build(ctx, key, func(dir string) error {
		if report != nil {
			report(sources.Progress{What: "unpack kernel"})
		}
		packed, err := c.read(binary)
		if err != nil {
			return err
		}
		kernel := packed
		if !b.PackedKernels {
			if kernel, err = bootable(packed); err != nil {
				return fmt.Errorf("%s: %w", c.ref, err)
			}
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
	if entry.header.Size > maxRead {
		return nil, fmt.Errorf("%s: %s has %d bytes, which is no kernel's file", c.ref, name, entry.header.Size)
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
	inits, err := r.inits(components, usr)
	if err != nil {
		return nil, err
	}
	bundles, err := r.bundles(components)
	if err != nil {
		return nil, err
	}
	list = slices.Concat(list, inits, r.volumes(components), bundles)
	if len(r.template.Files) == 0 {
		return list, nil
	}
	return append(list, r.files(usr)), nil
}

// inits are the components of init, and what they have in common.
func (r recipe) inits(components map[string]component, usr []string) ([]segment, error) {
	var list []segment
	var databases []component
	withRunc := false
	for i, ref := range r.template.Init {
		c := components[ref.Text]
		entries, err := c.tree.place(usr)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ref, err)
		}
		withRunc = withRunc || has(entries, runcPaths...)
		if c.tree.holds(apkDatabase) {
			databases = append(databases, c)
		}
		list = append(list, segment{
			key:    store.Key(format, "init", string(c.digest), strings.Join(usr, " ")),
			what:   c.ref,
			origin: originOf(ref, fmt.Sprintf("init[%d]", i)),
			write: func(a archive) error {
				return c.tree.unpack(a, "", entries, true)
			},
		})
	}
	if r.guest() && !withRunc && r.template.runsContainers() {
		return nil, Mistakes{{r.template.Init[0].At, "onboot and services need runc, and no component of init has it; add apt:runc to init"}}
	}
	if len(databases) > 1 {
		list = append(list, apkUnion(databases, usr))
	}
	return list, nil
}

func (t *template) runsContainers() bool {
	return slices.ContainsFunc(t.sections(), func(s section) bool { return len(s.containers) > 0 })
}

// apkDatabase is what Alpine's package manager knows to be installed. Each
// component of init has its own; in the guest all of them count.
const apkDatabase = "lib/apk/db/installed"

// apkUnion is all databases, one after another.
func apkUnion(from []component, usr []string) segment {
	inputs := []string{format, "apk", strings.Join(usr, " ")}
	for _, c := range from {
		inputs = append(inputs, string(c.digest))
	}
	return segment{
		key: store.Key(inputs...), what: apkDatabase,
		origin: origin{apkSource, "init"},
		write: func(a archive) error {
			var union []byte
			for _, c := range from {
				content, err := c.read(apkDatabase)
				if err != nil {
					return err
				}
				union = append(append(union, content...), "\n\n"...)
			}
			h := tar.Header{Typeflag: tar.TypeReg, Name: apkDatabase, Mode: 0o644, Size: int64(len(union)), ModTime: time.Unix(0, 0)}
			return a.add(intoUsr(h, usr), bytes.NewReader(union))
		},
	}
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

// bootFolder is where LinuxKit's tar has the kernel; of it the initrd keeps
// the folder alone.
func bootFolder() segment {
	return segment{key: store.Key(format, "boot"), what: "boot", write: func(a archive) error { return addDir(a, "boot") }}
}

// microcode is the processor's, which the kernel looks for at the front. It
// may be missing in the kernel's component.
func (r recipe) microcode(components map[string]component) []segment {
	c, name := components[r.template.Kernel.Image.Text], r.template.Kernel.UCode
	if name == "" || !c.tree.holds(name) {
		return nil
	}
	return []segment{{
		key: store.Key(format, "microcode", string(c.digest), name), what: c.ref,
		raw: func() ([]byte, error) { return c.read(name) },
	}}
}

// modules is the kernel's own tree of files, if the template wants it.
func (r recipe) modules(components map[string]component, usr []string) []segment {
	if r.template.Kernel == nil || r.template.Kernel.Image.Text == "" {
		return nil
	}
	name := r.template.Kernel.tar()
	if name == "none" || name == "" {
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
	made, links := map[string]bool{}, map[string]bool{}
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
		for dir := path.Dir(h.Name); dir != "."; dir = path.Dir(dir) {
			if links[dir] {
				return fmt.Errorf("%q lies below %q, which is no folder", h.Name, dir)
			}
		}
		above := tar.Header{Name: h.Name, Mode: 0o755}
		if err := parents(a, above, made); err != nil {
			return err
		}
		made[h.Name] = true
		links[h.Name] = h.Typeflag != tar.TypeDir
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
