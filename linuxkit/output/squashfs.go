package output

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/lkup/lkup/internal/process"
)

// kernelSquashfs has the root as a squashfs on a disk. The kernel's own files
// in boot stay out of it.
func (b *Builder) kernelSquashfs(ctx context.Context, img Image) ([]string, error) {
	program, err := exec.LookPath("sqfstar")
	if err != nil {
		return nil, errors.New("sqfstar is not on this computer; install the package squashfs-tools, version 4.5.1 or newer")
	}
	tars, err := b.tar(ctx, img)
	if err != nil {
		return nil, err
	}
	version, err := squashfsVersion(ctx, program)
	if err != nil {
		return nil, err
	}
	root, err := b.file(ctx, "squashfs", func(path string) error {
		return squash(ctx, program, path, tars[0])
	}, string(img.Digest), version)
	if err != nil {
		return nil, err
	}
	initrd := ""
	if len(img.RootDisk) > 0 {
		if initrd, err = b.initrd(ctx, img.RootDisk); err != nil {
			return nil, err
		}
	}
	cmdline, err := b.cmdline(ctx, img)
	return []string{img.Kernel, root, initrd, cmdline}, err
}

// squashfsVersion is part of what decides the bytes.
func squashfsVersion(ctx context.Context, program string) (string, error) {
	// Its exit status differs between versions.
	out, err := exec.CommandContext(ctx, program, "-version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || line == "" {
		return "", fmt.Errorf("ask %s for its version: %w", program, err)
	}
	return line, nil
}

// squashArgs ask for the same bytes each time. All files get one time: the
// program has no other way to keep the time of day off the root folder.
func squashArgs(path string) []string {
	then := fmt.Sprint(fixedTime)
	return []string{
		"-comp", "gzip", "-mkfs-time", then, "-all-time", then,
		"-root-mode", "755", "-root-uid", "0", "-root-gid", "0",
		"-processors", "1", "-no-progress", "-quiet", path,
	}
}

func squash(ctx context.Context, program, path, from string) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	cmd := process.Command(ctx, program, squashArgs(path)...)
	// Neither the user's language nor a SOURCE_DATE_EPOCH, which the program
	// refuses beside -mkfs-time.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	var messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &messages, &messages
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	fed := errors.Join(flatten(in, file), in.Close())
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", cmd, err, strings.TrimSpace(messages.String()))
	}
	return fed
}

// flatten copies a tar in which the last entry of a name counts, as in an
// initrd, to one that has each name once, folders before what lies in them
// and hard links last, without boot.
func flatten(w io.Writer, from io.ReadSeeker) error {
	last, folders := map[string]int{}, map[string]*tar.Header{}
	err := eachEntry(from, func(n int, h *tar.Header, _ io.Reader) error {
		last[h.Name] = n
		delete(folders, h.Name)
		if h.Typeflag == tar.TypeDir {
			folders[h.Name] = h
		}
		return nil
	})
	if err != nil {
		return err
	}
	addParents(folders, last)
	out := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		if err := out.WriteHeader(folders[name]); err != nil {
			return err
		}
	}
	for _, links := range []bool{false, true} {
		err := eachEntry(from, func(n int, h *tar.Header, content io.Reader) error {
			if h.Typeflag == tar.TypeDir || last[h.Name] != n || links != (h.Typeflag == tar.TypeLink) {
				return nil
			}
			if err := out.WriteHeader(h); err != nil {
				return err
			}
			_, err := io.Copy(out, content)
			return err
		})
		if err != nil {
			return err
		}
	}
	return out.Close()
}

// addParents adds the folders that no entry names, with a mode that no umask
// decides.
func addParents(folders map[string]*tar.Header, names map[string]int) {
	for name := range names {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if _, named := names[dir]; !named {
				folders[dir] = &tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: time.Unix(fixedTime, 0)}
			}
		}
	}
}

// eachEntry reads a tar from its start, but for boot. Names come out clean, and of the
// records only extended attributes stay.
func eachEntry(from io.ReadSeeker, each func(n int, h *tar.Header, content io.Reader) error) error {
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return err
	}
	entries := tar.NewReader(from)
	for n := 0; ; n++ {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		h.Name = path.Clean(h.Name)
		if h.Name == "boot" || strings.HasPrefix(h.Name, "boot/") {
			continue
		}
		for name := range h.PAXRecords {
			if !strings.HasPrefix(name, "SCHILY.xattr.") {
				delete(h.PAXRecords, name)
			}
		}
		if err := each(n, h, entries); err != nil {
			return err
		}
	}
}
