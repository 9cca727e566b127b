package apt

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
	"regexp"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

const kernelFormat = "apt-kernel/1"

// Kernel gives the host distribution's kernel as a component of LinuxKit's
// form: the files "kernel" and "kernel.tar". It implements
// [sources.Components] for any ref.
type Kernel struct {
	apt     *Components
	modules []string
}

// Kernel is the newest kernel of the archive with modules, and what they
// need. A module that the kernel has built in, or lacks, is left out: names
// differ between kernels.
func (c *Components) Kernel(modules []string) *Kernel {
	sorted := make([]string, len(modules))
	for i, name := range modules {
		sorted[i] = moduleName(name)
	}
	slices.Sort(sorted)
	return &Kernel{apt: c, modules: slices.Compact(sorted)}
}

// kernelParts are the packages that hold the kernel and the modules that
// matter to a virtual machine, on Debian and Ubuntu.
var kernelParts = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^linux-(image|modules)-[0-9]`)
})

// metaPackages name the newest kernel. Debian's comes first; -cloud and the
// like are smaller but lack 9p, and so shares.
func metaPackages(arch string) []string {
	return []string{"linux-image-" + debianArch(arch), "linux-image-virtual"}
}

// Resolve pins the newest kernel, as [Components.Resolve] pins packages.
func (k *Kernel) Resolve(ctx context.Context, ref, arch string) (sources.Digest, error) {
	return k.apt.resolve(ctx, ref, arch, func() (manifest, error) {
		packages, err := k.packages(ctx, arch)
		if err != nil {
			return manifest{}, fmt.Errorf("resolve %s: %w", ref, err)
		}
		return manifest{Format: kernelFormat, Arch: arch, Modules: k.modules, Packages: packages}, nil
	}, k.modules...)
}

// Stored is [Components.Stored] of a kernel.
func (k *Kernel) Stored(d sources.Digest) bool { return k.apt.stored(d, kernelFormat) }

func (k *Kernel) packages(ctx context.Context, arch string) ([]Package, error) {
	var problems []error
	for _, name := range metaPackages(arch) {
		packages, err := k.apt.host.closure(ctx, arch, []string{name})
		if err != nil {
			problems = append(problems, err)
			continue
		}
		parts := slices.DeleteFunc(packages, func(p Package) bool { return !kernelParts().MatchString(p.Name) })
		if len(parts) > 0 {
			return parts, nil
		}
		problems = append(problems, fmt.Errorf("%s depends on no package with a kernel", name))
	}
	return nil, errors.Join(problems...)
}

// Image downloads the kernel and takes out what is needed of it.
func (k *Kernel) Image(ctx context.Context, ref, arch string, d sources.Digest, report sources.Report) (v1.Image, error) {
	m, err := k.apt.manifest(d)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", ref, err)
	}
	key := store.Key(kernelFormat, string(d))
	layer := store.Key(kernelFormat, "layer", string(d))
	image, err := k.apt.store.BuildImage(ctx, key, arch, v1.Config{}, func() ([]sources.Digest, error) {
		if err := k.apt.download(ctx, ref, arch, m, k.modules, report); err != nil {
			return nil, err
		}
		for _, p := range m.Packages {
			tell(report, sources.Progress{What: "unpack " + p.Name})
		}
		return []sources.Digest{layer}, k.apt.buildKernel(ctx, layer, m)
	})
	if err == nil {
		err = k.apt.store.Note(d, store.Note{Refs: []sources.Digest{key}})
	}
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", ref, err)
	}
	return image, nil
}

func (c *Components) buildKernel(ctx context.Context, layer sources.Digest, m manifest) error {
	return c.store.BuildLayer(ctx, layer, func(w *tar.Writer) error {
		return c.store.Locked(ctx, store.Key("unpack kernel", string(layer)), func(scratch string) error {
			files, err := c.unpackKernel(ctx, scratch, m)
			if err != nil {
				return err
			}
			return files.write(w, m.Modules)
		})
	})
}

// kernelFiles are the files of a kernel's packages, in a scratch folder.
type kernelFiles struct {
	scratch string
	names   []string // of files below /usr/lib/modules/VERSION and /boot
}

func (c *Components) unpackKernel(ctx context.Context, scratch string, m manifest) (kernelFiles, error) {
	files := kernelFiles{scratch: scratch}
	for _, p := range m.Packages {
		err := c.readPackage(ctx, p, func(header *tar.Header, content io.Reader) error {
			if header.Typeflag != tar.TypeReg || !kernelFile(header.Name) {
				return nil
			}
			files.names = append(files.names, header.Name)
			return writeFile(filepath.Join(scratch, filepath.FromSlash(header.Name)), content)
		})
		if err != nil {
			return kernelFiles{}, err
		}
	}
	return files, nil
}

func kernelFile(name string) bool {
	return strings.HasPrefix(name, "usr/lib/modules/") || strings.HasPrefix(name, "boot/vmlinu")
}

// writeFile does not sync: the file is scratch.
func writeFile(path string, content io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

func (f kernelFiles) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.scratch, filepath.FromSlash(name)))
}

// write writes the component's two files.
func (f kernelFiles) write(w *tar.Writer, modules []string) error {
	i := slices.IndexFunc(f.names, func(name string) bool { return strings.HasPrefix(name, "boot/") })
	if i < 0 {
		return errors.New("no /boot/vmlinuz in the kernel's packages")
	}
	kernel, err := f.read(f.names[i])
	if err != nil {
		return err
	}
	_, version, _ := strings.Cut(path.Base(f.names[i]), "-")
	tree, err := f.moduleTar(version, modules)
	if err != nil {
		return err
	}
	if err := writeEntry(w, "kernel", kernel); err != nil {
		return err
	}
	return writeEntry(w, "kernel.tar", tree)
}

// moduleTar is /lib/modules/VERSION with the modules that names need.
func (f kernelFiles) moduleTar(version string, names []string) ([]byte, error) {
	set, err := f.moduleSet("usr/lib/modules/" + version + "/")
	if err != nil {
		return nil, err
	}
	chosen, err := set.closure(names)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	root := "lib/modules/" + version
	if err := writeFolders(w, root, chosen); err != nil {
		return nil, err
	}
	for _, m := range chosen {
		if err := writeEntry(w, root+"/"+m.path, m.content); err != nil {
			return nil, err
		}
	}
	for _, table := range []struct{ name, text string }{
		{"modules.alias", aliasTable(chosen)},
		{"modules.builtin", set.builtinText},
		{"modules.dep", depTable(chosen)},
		{"modules.softdep", softdepTable(chosen)},
	} {
		if err := writeEntry(w, root+"/"+table.name, []byte(table.text)); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// writeFolders writes every folder above the modules, parents first.
func writeFolders(w *tar.Writer, root string, modules []module) error {
	folders := map[string]bool{}
	add := func(folder string) {
		for ; folder != "."; folder = path.Dir(folder) {
			folders[folder] = true
		}
	}
	add(root)
	for _, m := range modules {
		add(path.Dir(root + "/" + m.path))
	}
	for _, folder := range sortedKeys(folders) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: folder + "/", Mode: 0o755}); err != nil {
			return err
		}
	}
	return nil
}

func writeEntry(w *tar.Writer, name string, content []byte) error {
	header := tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}
	if err := w.WriteHeader(&header); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}
