package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// plain is the same machine as most people would start it: the archive's
// compressed kernel, a gzip initrd, and QEMU's default devices.
func (m machine) plain(ctx context.Context, l lkup) (machine, error) {
	kernel := filepath.Join(l.dir, "vmlinuz")
	if err := unpackKernel(ctx, l.cache, kernel); err != nil {
		return machine{}, err
	}
	p := m
	p.argv = nil
	for i := 0; i < len(m.argv); i++ {
		switch arg := m.argv[i]; arg {
		case "-nodefaults":
		case "-kernel":
			p.argv = append(p.argv, arg, kernel)
			i++
		case "-initrd":
			initrd := filepath.Join(l.dir, "initrd.gz")
			// The scratch copy is made at boot; the original is there now.
			if err := compress(strings.Replace(m.argv[i+1], m.scratch, m.original, 1), initrd); err != nil {
				return machine{}, err
			}
			p.argv = append(p.argv, arg, initrd)
			i++
		default:
			p.argv = append(p.argv, arg)
		}
	}
	return p, nil
}

func compress(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	z := gzip.NewWriter(out)
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	return errors.Join(z.Close(), out.Close())
}

// unpackKernel finds the kernel's package in the cache, the one that was used
// last if there are several, and takes vmlinuz out of it.
func unpackKernel(ctx context.Context, cache, to string) error {
	var packages []string
	err := filepath.WalkDir(cache, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && isKernelPackage(ctx, path) {
			packages = append(packages, path)
		}
		return nil // what cannot be read is not it
	})
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return fmt.Errorf("no kernel package below %s", cache)
	}
	newest := slices.MaxFunc(packages, func(a, b string) int { return modified(a).Compare(modified(b)) })
	const script = `dpkg-deb --fsys-tarfile "$1" | tar -xO --wildcards './boot/vmlinuz-*' > "$2"`
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", script, "unpack", newest, to)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w\n%s", newest, err, out)
	}
	return nil
}

// isKernelPackage reports whether a file is a Debian package with a kernel in it.
func isKernelPackage(ctx context.Context, path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 21)
	if _, err := io.ReadFull(f, head); err != nil || !bytes.Equal(head, []byte("!<arch>\ndebian-binary")) {
		return false
	}
	out, err := exec.CommandContext(ctx, "dpkg-deb", "-f", path, "Package", "Installed-Size").Output()
	text := string(out)
	// The package that only depends on the kernel has a similar name and no size to speak of.
	return err == nil && strings.Contains(text, "Package: linux-image-") && len(strings.TrimSpace(lineOf(text, "Installed-Size:"))) >= 5
}

func lineOf(text, prefix string) string {
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, prefix); found {
			return value
		}
	}
	return ""
}
