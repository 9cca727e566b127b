// Package volume is what lkup does with volumes' disks on the host: it makes
// them, with a file system where one is wanted, looks at what they hold, and
// copies them. It needs no root and mounts nothing.
//
// It promises that a disk has its name only once it is whole, and that a disk
// which holds anything is never formatted. It never touches a disk that a
// machine runs with: its callers see to that.
package volume

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/lkup/lkup/internal/process"
	"github.com/lkup/lkup/sources/file"
)

// Disks implements reconciler.Disks. Its fields are set before use.
type Disks struct {
	file.Copier
	// LookPath finds programs; it is exec.LookPath.
	LookPath func(name string) (string, error)
}

// elsewhere is where programs for file systems lie that are on nobody's path:
// Debian keeps them for root, Homebrew does not link them.
var elsewhere = [...]string{"/usr/sbin/", "/sbin/", "/opt/homebrew/opt/e2fsprogs/sbin/", "/usr/local/opt/e2fsprogs/sbin/"}

// Formatter is the program that makes file systems, or how to install it.
func (d Disks) Formatter() (string, error) {
	const name = "mke2fs"
	if path, err := d.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range elsewhere {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	hint := "sudo apt-get install e2fsprogs"
	if runtime.GOOS == "darwin" {
		hint = "brew install e2fsprogs"
	}
	return "", fmt.Errorf("%s, which formats volumes, is not installed; type: %s", name, hint)
}

// run runs a program with nothing but the given environment.
func run(ctx context.Context, env []string, program string, args ...string) error {
	cmd := process.Command(ctx, program, args...)
	cmd.Env = append([]string{}, env...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(output)))
	}
	return nil
}

// image runs qemu-img.
func (d Disks) image(ctx context.Context, args ...string) error {
	program, err := d.LookPath("qemu-img")
	if err != nil {
		return fmt.Errorf("qemu-img is not installed; lkup doctor says what to type")
	}
	return run(ctx, nil, program, args...)
}

const mib = 1 << 20

// Size is a disk's size as a guest sees it, in MiB, and how much of the host's
// disk it takes, in bytes.
func Size(path, format string) (size int, used int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	used = Used(info)
	if format == "raw" {
		return int((info.Size() + mib - 1) / mib), used, nil
	}
	h, err := readHeader(f)
	if err != nil {
		return 0, used, fmt.Errorf("%s: %w", path, err)
	}
	return int((h.size + mib - 1) / mib), used, nil
}
