package apt

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/lkup/lkup/internal/process"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// layerFormat changes when the same packages come to give other layers.
const layerFormat = "apt-layer/2"

// layers gives the layers of a component, lowest first: the links that Debian
// keeps in no package, busybox's applets if the user named it, the packages,
// and what their scripts would make.
func (c *Components) layers(ctx context.Context, m manifest, report sources.Report) ([]sources.Digest, error) {
	base := store.Key(layerFormat, "base", m.Arch)
	if err := c.store.BuildLayer(ctx, base, func(w *tar.Writer) error { return writeBase(w, m.Arch) }); err != nil {
		return nil, err
	}
	keys := []sources.Digest{base}
	if i := slices.IndexFunc(m.Packages, func(p Package) bool { return isNamed(m, p) && strings.HasPrefix(p.Name, "busybox") }); i >= 0 {
		key, err := c.appletLayer(ctx, m.Packages[i])
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(2) // dpkg-deb keeps a core busy each
	for _, p := range m.Packages {
		key := store.Key(layerFormat, p.SHA256)
		keys = append(keys, key)
		group.Go(func() error {
			tell(report, sources.Progress{What: "unpack " + p.Name})
			return c.store.BuildLayer(groupCtx, key, func(w *tar.Writer) error { return c.writePackage(groupCtx, w, p) })
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	key, ok, err := c.scriptLayer(ctx, m)
	if ok {
		keys = append(keys, key)
	}
	return keys, err
}

func isNamed(m manifest, p Package) bool {
	return slices.ContainsFunc(m.Named, func(name string) bool {
		name, _, _ = strings.Cut(name, "=")
		return name == p.Name
	})
}

// merged are the folders of / that are links into /usr on every current
// Debian and Ubuntu. Packages of older releases still use the short names.
var merged = []string{"bin", "lib", "lib32", "lib64", "libx32", "sbin"}

// writeBase writes those links that an architecture needs. On a real system
// they come with the installation, not from a package.
func writeBase(w *tar.Writer, arch string) error {
	links := []string{"bin", "lib", "sbin"}
	if arch == "amd64" {
		links = append(links, "lib64")
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "usr/", Mode: 0o755}); err != nil {
		return err
	}
	for _, link := range links {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "usr/" + link + "/", Mode: 0o755}); err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: link, Linkname: "usr/" + link, Mode: 0o777}); err != nil {
			return err
		}
	}
	return nil
}

// mergedPath is where a package's file lies on a system with merged /usr.
func mergedPath(name string) string {
	first, _, _ := strings.Cut(name, "/")
	if slices.Contains(merged, first) {
		return "usr/" + name
	}
	return name
}

// unneeded are files that no guest needs to run: they would only make its
// boot slower. The last line is large programs for those who work on gcc and
// on Docker's networks.
var unneeded = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^usr/share/(doc|doc-base|man|info|locale|lintian|bug|bash-completion|apport|reportbug)(/|$)` +
		`|^usr/lib/[^/]+/gconv(/|$)` +
		`|^usr/bin/([^/]*lto-dump(-[0-9]+)?|dnet)$|^usr/sbin/ovrouter$`)
})

// writePackage writes the files of a package.
func (c *Components) writePackage(ctx context.Context, w *tar.Writer, p Package) error {
	seen := map[string]bool{}
	return c.readPackage(ctx, p, func(header *tar.Header, content io.Reader) error {
		name := header.Name
		if name == "" || unneeded().MatchString(name) || seen[name] {
			return nil
		}
		seen[name] = true
		if header.Typeflag == tar.TypeDir {
			header.Name += "/"
		}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err := io.Copy(w, content)
		return err
	})
}

// readPackage calls each for all entries of a package, names cleaned and
// moved to where a system with merged /usr has them; "" is the root itself.
func (c *Components) readPackage(ctx context.Context, p Package, each func(*tar.Header, io.Reader) error) error {
	file, ok := c.store.Blob(p.Digest())
	if !ok {
		return fmt.Errorf("package %s is not in the image store", p.Name)
	}
	return unpack(ctx, file, func(files io.Reader) error {
		entries := tar.NewReader(files)
		for {
			header, err := entries.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("unpack %s: %w", p.Name, err)
			}
			header = plainHeader(header)
			if err := each(header, entries); err != nil {
				return fmt.Errorf("unpack %s: %s: %w", p.Name, header.Name, err)
			}
		}
	})
}

// plainHeader keeps what has a meaning in a guest. Owners' names, access
// times and the like would only make equal layers differ.
func plainHeader(h *tar.Header) *tar.Header {
	plain := &tar.Header{
		Typeflag: h.Typeflag, Name: mergedPath(cleanName(h.Name)), Linkname: h.Linkname, Size: h.Size,
		Mode: h.Mode, Uid: h.Uid, Gid: h.Gid, ModTime: h.ModTime, Devmajor: h.Devmajor, Devminor: h.Devminor,
	}
	if h.Typeflag == tar.TypeLink {
		plain.Linkname = mergedPath(cleanName(h.Linkname))
	}
	return plain
}

// cleanName is name without leading "./" and "/", and without "..".
func cleanName(name string) string { return path.Clean("/" + name)[1:] }

// unpack runs dpkg-deb and gives read the tar of the files in it. Unlike the
// shape of a .deb, what compression it uses differs between distributions,
// and dpkg knows them all.
func unpack(ctx context.Context, file string, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := process.Command(ctx, "dpkg-deb", "--fsys-tarfile", file)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return missingTool("dpkg-deb")
		}
		return fmt.Errorf("start dpkg-deb: %w", err)
	}
	readErr := read(out)
	if readErr != nil {
		cancel() // it would wait for its output to be read
		_ = cmd.Wait()
		return readErr
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		cancel()
	}
	if err := cmd.Wait(); err != nil {
		return &CommandError{Args: cmd.Args, Output: lastLines(problems.String(), 12), Err: err}
	}
	return nil
}
