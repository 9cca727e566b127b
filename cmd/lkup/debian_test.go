package main

import (
	"archive/tar"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/apt"
	"github.com/lkup/lkup/sources/store"
)

// debianFormat changes when the same packages are to give another disk.
const debianFormat = "debian-disk/10"

// The packages of a Debian that cloud-init sets up and SSH reaches, and what
// starts it.
const (
	debianPackages = "apt:base-files,base-passwd,bash,cloud-init,coreutils,dash,dbus,e2fsprogs,findutils,grep,hostname,iproute2," +
		"kmod,libc-bin,libpam-modules,login,mount,openssh-server,passwd,procps,sed,sudo,systemd,systemd-resolved,systemd-sysv,udev,util-linux"
	debianLoader = "apt:grub-common,grub-pc-bin"
	debianShell  = "apt:busybox-static"
)

// debianModules are of the kernel; the first are those that reach the root.
var debianModules = []string{
	"crc32c_generic", "virtio_pci", "virtio_blk", "ext4", "virtio_net", "virtio_rng", "virtio_balloon", "9p", "9pnet_virtio", "virtiofs", "isofs", "button", "evdev", "af_packet", "unix", "ipv6", "autofs4",
}

// debianDisk makes the disk image FILE, a Debian as an installer would leave it
// but for its packages' scripts, which never ran; further names get copies of it
// in the format of their endings.
func debianDisk(ts *testscript.TestScript, _ bool, args []string) {
	if runtime.GOARCH != "amd64" {
		ts.Fatalf("it is made for a BIOS, which %s has none of", runtime.GOARCH)
	}
	disk, err := makeDebian(context.Background(), ts.Getenv("LKUP_CACHE_DIR"))
	ts.Check(err)
	for _, name := range args {
		format := strings.TrimPrefix(filepath.Ext(name), ".")
		ts.Check(ts.Exec("qemu-img", "convert", "-f", "raw", "-O", format, disk, ts.MkAbs(strings.TrimSuffix(name, "."+format))))
	}
}

// component is an OCI image and its digest.
type component struct {
	digest sources.Digest
	layers func(each func(*tar.Header, io.Reader) error) error
}

// makeDebian is the disk's path. It is made once for the same packages.
func makeDebian(ctx context.Context, cache string) (string, error) {
	s, err := store.Open(filepath.Join(cache, "store"))
	if err != nil {
		return "", err
	}
	packages := apt.New(apt.Settings{Store: s, Now: time.Now})
	parts := map[string]component{}
	inputs := []string{debianFormat}
	for _, c := range []struct {
		name, ref string
		from      sources.Components
	}{
		{"system", debianPackages, packages}, {"loader", debianLoader, packages}, {"shell", debianShell, packages},
		{"kernel", "builtin:kernel", packages.Kernel(debianModules)},
	} {
		part, err := fetchComponent(ctx, c.from, c.ref)
		if err != nil {
			return "", err
		}
		parts[c.name] = part
		inputs = append(inputs, string(part.digest))
	}
	dir, err := s.Build(ctx, store.Key(inputs...), func(dir string) error {
		d := debian{dir: dir, tree: filepath.Join(dir, "tree"), parts: parts}
		return errors.Join(d.make(ctx), os.RemoveAll(d.tree))
	})
	return filepath.Join(dir, "disk"), err
}

func fetchComponent(ctx context.Context, from sources.Components, ref string) (component, error) {
	d, err := from.Resolve(ctx, ref, runtime.GOARCH)
	if err != nil {
		return component{}, err
	}
	image, err := from.Image(ctx, ref, runtime.GOARCH, d, nil)
	if err != nil {
		return component{}, err
	}
	return component{digest: d, layers: func(each func(*tar.Header, io.Reader) error) error {
		layers, err := image.Layers()
		if err != nil {
			return err
		}
		for _, layer := range layers {
			content, err := layer.Uncompressed()
			if err != nil {
				return err
			}
			if err := errors.Join(eachEntry(content, each), content.Close()); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

func eachEntry(r io.Reader, each func(*tar.Header, io.Reader) error) error {
	entries := tar.NewReader(r)
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := each(h, entries); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
}

// debian is a disk in the making.
type debian struct {
	dir, tree string
	parts     map[string]component
	version   string // of the kernel
}

func (d *debian) make(ctx context.Context) error {
	for _, step := range []func(context.Context) error{d.unpack, d.kernel, d.configure, d.compile, d.initrd, d.format, d.boot} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *debian) unpack(context.Context) error {
	return d.parts["system"].layers(func(h *tar.Header, content io.Reader) error { return extract(d.tree, h, content) })
}

// extract writes one entry below a directory, the last of a name.
func extract(root string, h *tar.Header, content io.Reader) error {
	path := filepath.Join(root, h.Name)
	if h.Typeflag == tar.TypeDir {
		return errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, h.FileInfo().Mode()))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	switch h.Typeflag {
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, path)
	case tar.TypeLink:
		return os.Link(filepath.Join(root, h.Linkname), path)
	case tar.TypeReg:
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Chmod(h.FileInfo().Mode()), f.Close())
	}
	return fmt.Errorf("entries of type %q are not expected", h.Typeflag)
}

// kernel takes kernel and modules apart, and makes the modules' index.
func (d *debian) kernel(ctx context.Context) error {
	err := d.parts["kernel"].layers(func(h *tar.Header, content io.Reader) error {
		if h.Name == "kernel" {
			h.Name = "boot/vmlinuz"
			return extract(d.tree, h, content)
		}
		return eachEntry(content, func(h *tar.Header, content io.Reader) error {
			h.Name = "usr/" + h.Name
			return extract(d.tree, h, content)
		})
	})
	if err != nil {
		return err
	}
	versions, err := filepath.Glob(filepath.Join(d.tree, "usr/lib/modules/*"))
	if err != nil || len(versions) != 1 {
		return fmt.Errorf("kernels: %v, %w", versions, err)
	}
	d.version = filepath.Base(versions[0])
	return d.run(ctx, "usr/bin/kmod", "depmod", "-b", d.tree, d.version)
}

// run runs a program of the tree as the host's own: by its loader, with its
// libraries. argv0 is what it is called as.
func (d *debian) run(ctx context.Context, program, argv0 string, args ...string) error {
	return runIn(ctx, d.tree, program, argv0, args...)
}

func runIn(ctx context.Context, tree, program, argv0 string, args ...string) error {
	words := append([]string{"--library-path", filepath.Join(tree, "usr/lib/x86_64-linux-gnu"), "--argv0", argv0, filepath.Join(tree, program)}, args...)
	cmd := exec.CommandContext(ctx, filepath.Join(tree, "usr/lib64/ld-linux-x86-64.so.2"), words...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONHOME=" + filepath.Join(tree, "usr"), "LC_ALL=C.UTF-8"}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", argv0, err, output)
	}
	return nil
}

// compile has Python compile what it would at each first boot, which takes an
// emulated guest a minute.
func (d *debian) compile(ctx context.Context) error {
	for _, dir := range []string{"usr/lib/python3.11", "usr/lib/python3"} {
		if err := d.run(ctx, "usr/bin/python3.11", "python3", "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash",
			"-s", d.tree, "-x", "lib2to3/tests|/test/", filepath.Join(d.tree, dir)); err != nil {
			return err
		}
	}
	return nil
}

// format makes the disk, with the tree in its only partition.
func (d *debian) format(ctx context.Context) error {
	disk, err := os.Create(filepath.Join(d.dir, "disk"))
	if err != nil {
		return err
	}
	if err := errors.Join(disk.Truncate(debianSize), disk.Close()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mke2fs", "-q", "-F", "-t", "ext4", "-L", "root", "-d", d.tree, "-O", "^metadata_csum_seed,^orphan_file",
		"-E", fmt.Sprintf("offset=%d,root_owner=0:0", partitionAt), disk.Name(), fmt.Sprintf("%dk", (debianSize-partitionAt)/1024))
	cmd.Env = append(os.Environ(), "PATH=/usr/sbin:/sbin:"+os.Getenv("PATH"))
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mke2fs: %w\n%s", err, output)
	}
	return nil
}

const (
	partitionAt = 1 << 20
	debianSize  = 1 << 30
	sectorSize  = 512
)

// boot puts GRUB where an installer puts it: its first part into the boot
// record, the rest behind that, before the partition.
func (d *debian) boot(ctx context.Context) error {
	record, rest, err := d.grub(ctx)
	if err != nil {
		return err
	}
	if len(record) != sectorSize || len(rest) > partitionAt-sectorSize {
		return fmt.Errorf("GRUB has %d and %d bytes", len(record), len(rest))
	}
	clear(record[440:510]) // what boot.img has there is for floppies
	entry := record[446:]
	entry[0], entry[4] = 0x80, 0x83
	binary.LittleEndian.PutUint32(entry[8:], partitionAt/sectorSize)
	binary.LittleEndian.PutUint32(entry[12:], (debianSize-partitionAt)/sectorSize)
	record[510], record[511] = 0x55, 0xaa
	disk, err := os.OpenFile(filepath.Join(d.dir, "disk"), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = disk.WriteAt(append(record, rest...), 0)
	return errors.Join(err, disk.Close())
}

const grubScript = "linux (hd0,msdos1)/boot/vmlinuz root=/dev/vda1 rw console=ttyS0 quiet\ninitrd (hd0,msdos1)/boot/initrd.img\nboot\n"

// grub gives GRUB's two parts, of which the second does what the script says.
func (d *debian) grub(ctx context.Context) (record, rest []byte, err error) {
	loader := filepath.Join(d.dir, "loader")
	defer os.RemoveAll(loader)
	if err := d.parts["loader"].layers(func(h *tar.Header, content io.Reader) error { return extract(loader, h, content) }); err != nil {
		return nil, nil, err
	}
	config, core, modules := filepath.Join(loader, "load.cfg"), filepath.Join(loader, "core.img"), filepath.Join(loader, "usr/lib/grub/i386-pc")
	if err := os.WriteFile(config, []byte(grubScript), 0o600); err != nil {
		return nil, nil, err
	}
	if err := runIn(ctx, loader, "usr/bin/grub-mkimage", "grub-mkimage", "-O", "i386-pc", "-d", modules, "-p", "/boot/grub", "-c", config, "-o", core,
		"biosdisk", "part_msdos", "ext2", "linux"); err != nil {
		return nil, nil, err
	}
	if record, err = os.ReadFile(filepath.Join(modules, "boot.img")); err != nil {
		return nil, nil, err
	}
	rest, err = os.ReadFile(core)
	return record, rest, err
}
