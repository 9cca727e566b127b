package output

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
)

// fixedTime is the time of everything that is made up here, as in LinuxKit:
// 2017-04-18T16:30:00Z.
const fixedTime = 1492533000

func (b *Builder) kernelInitrd(ctx context.Context, img Image) ([]string, error) {
	initrd, err := b.initrd(ctx, img.Initrds)
	if err != nil {
		return nil, err
	}
	cmdline, err := b.cmdline(ctx, img)
	return []string{img.Kernel, initrd, cmdline}, err
}

// cmdline is a file with the command line; empty if there is none.
func (b *Builder) cmdline(ctx context.Context, img Image) (string, error) {
	if img.Cmdline == "" {
		return "", nil
	}
	return b.file(ctx, "command line", func(path string) error {
		return os.WriteFile(path, []byte(img.Cmdline), 0o600)
	}, img.Cmdline)
}

func (b *Builder) tar(ctx context.Context, img Image) ([]string, error) {
	path, err := b.file(ctx, "tar", func(path string) error {
		return create(path, func(w io.Writer) error { return img.WriteTar(ctx, w) })
	}, string(img.Digest))
	return []string{path}, err
}

func (b *Builder) tarKernelInitrd(ctx context.Context, img Image) ([]string, error) {
	initrd, err := b.initrd(ctx, img.Initrds)
	if err != nil {
		return nil, err
	}
	path, err := b.file(ctx, "tar-kernel-initrd", func(path string) error {
		return create(path, func(w io.Writer) error { return writeKernelTar(w, img, initrd) })
	}, string(img.Digest))
	return []string{path}, err
}

func writeKernelTar(w io.Writer, img Image, initrd string) error {
	out := tar.NewWriter(w)
	if err := addToTar(out, "kernel", img.Kernel); err != nil {
		return err
	}
	if err := addToTar(out, "initrd.img", initrd); err != nil {
		return err
	}
	if err := out.WriteHeader(tarHeader("cmdline", int64(len(img.Cmdline)))); err != nil {
		return err
	}
	if _, err := io.WriteString(out, img.Cmdline); err != nil {
		return err
	}
	return out.Close()
}

func addToTar(out *tar.Writer, name, path string) error {
	file, size, err := openSized(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := out.WriteHeader(tarHeader(name, size)); err != nil {
		return err
	}
	_, err = io.Copy(out, file)
	return err
}

func tarHeader(name string, size int64) *tar.Header {
	return &tar.Header{Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(fixedTime, 0)}
}

// initrd compresses the parts, several at once, and joins them: the kernel
// reads one gzip member after the other. A part that did not change is not
// compressed again. A processor's microcode stays as it is, in front: the kernel
// reads it before it can unpack anything.
func (b *Builder) initrd(ctx context.Context, parts []string) (string, error) {
	packed := make([]string, len(parts))
	digests := make([]string, len(parts))
	group, inner := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i, part := range parts {
		group.Go(func() (err error) {
			if digests[i], err = digest(part); err != nil {
				return err
			}
			if i == 0 && isMicrocode(part) {
				packed[i] = part
				return nil
			}
			packed[i], err = b.file(inner, "initrd part", func(path string) error { return compress(path, part) }, digests[i])
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return "", err
	}
	return b.file(ctx, "initrd", func(path string) error {
		return create(path, func(w io.Writer) error { return join(w, packed) })
	}, digests...)
}

// isMicrocode reports whether a cpio archive begins with the folder in which
// the kernel looks for microcode (Documentation/arch/x86/microcode.rst).
func isMicrocode(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	head := make([]byte, 4096)
	n, _ := io.ReadFull(file, head)
	return bytes.Contains(head[:n], []byte("kernel/x86/microcode"))
}

func compress(path, from string) error {
	return create(path, func(w io.Writer) error {
		out := gzip.NewWriter(w)
		return errors.Join(join(out, []string{from}), out.Close())
	})
}

// join copies files to w, one after the other.
func join(w io.Writer, paths []string) error {
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(w, file)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// create writes a file through a buffer.
func create(path string, write func(io.Writer) error) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	buffer := bufio.NewWriterSize(file, 1<<18)
	err = write(buffer)
	if err == nil {
		err = buffer.Flush()
	}
	return errors.Join(err, file.Close())
}

func digest(path string) (string, error) {
	hash := sha256.New()
	if err := join(hash, []string{path}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}

func openSized(path string) (*os.File, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

func bytesDigest(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
