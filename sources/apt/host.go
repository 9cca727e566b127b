package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"al.essio.dev/pkg/shellescape"

	"github.com/lkup/lkup/internal/process"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// Package is one version of one package.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"` // Debian's name of it, or "all"
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"` // bytes
}

// Digest is the digest of the package's file.
func (p Package) Digest() sources.Digest { return sources.Digest("sha256:" + p.SHA256) }

// CommandError is a failed command of the host's package system.
type CommandError struct {
	Args   []string
	Output string // the last lines
	Err    error
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("%s: %v\n%s", shellescape.QuoteCommand(e.Args), e.Err, e.Output)
}

// Unwrap gives the exit status, or why the command did not start.
func (e *CommandError) Unwrap() error { return e.Err }

// host runs the host's apt on private lists, one directory per architecture.
type host struct {
	store   *store.Store
	now     func() time.Time
	etc     string
	offline bool
}

func (h host) dir(arch string) string { return filepath.Join(h.store.Dir("apt"), arch) }

// locked runs do with apt set up for arch, and no other apt in its directory.
func (h host) locked(ctx context.Context, arch string, do func() error) error {
	return h.store.Locked(ctx, store.Key("apt directory", arch), func(string) error {
		if err := h.configure(ctx, arch); err != nil {
			return err
		}
		return do()
	})
}

// closure is the packages that names mean, and all that they depend on. The
// package database behind it has none but [scriptTools], so that apt lists
// dependencies that the host itself has installed.
func (h host) closure(ctx context.Context, arch string, names []string) ([]Package, error) {
	var packages []Package
	if h.offline {
		return nil, fmt.Errorf("it was not resolved on this host yet: %w", sources.ErrOffline)
	}
	err := h.locked(ctx, arch, func() error {
		if err := h.freshLists(ctx, arch); err != nil {
			return err
		}
		status := filepath.Join(h.dir(arch), "state", "status")
		if err := os.WriteFile(status, []byte(statusText(names)), 0o600); err != nil {
			return fmt.Errorf("set up a private apt: %w", err)
		}
		args := append([]string{
			"apt-get", "install", "--print-uris", "--yes", "-qq",
			"-o", "Acquire::ForceHash=sha256", "--",
		}, names...)
		out, err := h.run(ctx, arch, "", args)
		if err != nil {
			return err
		}
		packages, err = parseURIs(out)
		return err
	})
	return packages, err
}

// listsAge is how old package lists may be when a new ref is resolved.
const listsAge = 24 * time.Hour

// freshLists updates the lists if they are old or of other sources. Old lists
// do if the archive cannot be reached.
func (h host) freshLists(ctx context.Context, arch string) error {
	sum, err := h.sourcesSum()
	if err != nil {
		return err
	}
	stamp := filepath.Join(h.dir(arch), "updated")
	content, _ := os.ReadFile(stamp) // no stamp, no lists
	stamped, at, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	updated, _ := strconv.ParseInt(at, 10, 64)
	same := stamped == sum
	if same && h.now().Sub(time.Unix(updated, 0)) < listsAge {
		return nil
	}
	if _, err := h.run(ctx, arch, "", []string{"apt-get", "update", "-qq", "-o", "APT::Update::Error-Mode=any"}); err != nil {
		if same && ctx.Err() == nil {
			return nil
		}
		return err
	}
	return os.WriteFile(stamp, fmt.Appendf(nil, "%s %d\n", sum, h.now().Unix()), 0o600)
}

// forgetLists makes the next closure begin with an update.
func (h host) forgetLists(arch string) error {
	err := os.Remove(filepath.Join(h.dir(arch), "updated"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// download brings packages into the store. apt checks them against the signed
// lists; the store checks them against what was resolved.
func (h host) download(ctx context.Context, arch string, packages []Package, report sources.Report) error {
	wanted, keys := map[sources.Digest]Package{}, []string{"apt download"}
	if h.offline {
		return fmt.Errorf("%d packages are not here: %w", len(packages), sources.ErrOffline)
	}
	for _, p := range packages {
		wanted[p.Digest()] = p
		keys = append(keys, p.SHA256)
	}
	args := []string{"apt-get", "download", "-qq", "--"}
	return h.store.Locked(ctx, store.Key(keys...), func(scratch string) error {
		names := make([]string, len(packages))
		var progress sources.Progress
		for i, p := range packages {
			names[i] = p.Name
			args = append(args, p.Name+":"+p.Arch+"="+p.Version)
			progress.Total += p.Size
		}
		progress.What = "download " + summary(names)
		tell(report, progress)
		err := h.locked(ctx, arch, func() error {
			_, err := h.run(ctx, arch, scratch, args)
			return err
		})
		if err != nil {
			return err
		}
		progress.Done = progress.Total
		tell(report, progress)
		return h.adopt(scratch, wanted)
	})
}

func tell(report sources.Report, progress sources.Progress) {
	if report != nil {
		report(progress)
	}
}

// summary names a few packages and counts the rest.
func summary(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more packages", strings.Join(names[:2], ", "), len(names)-2)
}

func (h host) adopt(dir string, wanted map[sources.Digest]Package) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil {
		return err
	}
	for _, file := range files {
		d, err := store.FileDigest(file)
		if err != nil {
			return err
		}
		if _, ok := wanted[d]; !ok {
			return fmt.Errorf("apt-get download gave %s with digest %s, which nobody asked for", filepath.Base(file), d)
		}
		if err := h.store.Adopt(file, d); err != nil {
			return err
		}
		delete(wanted, d)
	}
	for _, p := range wanted {
		return fmt.Errorf("apt-get download did not give %s %s", p.Name, p.Version)
	}
	return nil
}

// run runs one command of the package system in dir with the private
// configuration, and returns what it printed.
func (h host) run(ctx context.Context, arch, dir string, args []string) ([]byte, error) {
	cmd := process.Command(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive", "APT_CONFIG="+h.config(arch))
	return output(cmd)
}

// output runs cmd. Its error carries the command and the end of what it said.
func output(cmd *exec.Cmd) ([]byte, error) {
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, missingTool(cmd.Args[0])
	}
	if err != nil {
		return nil, &CommandError{Args: cmd.Args, Output: lastLines(out.String()+problems.String(), 12), Err: err}
	}
	return out.Bytes(), nil
}

func missingTool(name string) error {
	return fmt.Errorf("%s is not on this host: apt: and builtin:kernel need Debian or Ubuntu; "+
		"name OCI images in the template instead", name)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// uriLine is a line of apt-get --print-uris:
// 'http://.../x_1%3a2_amd64.deb' x_1%3a2_amd64.deb 92060 SHA256:3d3f...
var uriLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^'[^']*' (\S+)_(\S+)_(\S+)\.deb (\d+) SHA256:([0-9a-f]{64})$`)
})

func parseURIs(out []byte) ([]Package, error) {
	var packages []Package
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		match := uriLine().FindStringSubmatch(line)
		if match == nil {
			return nil, fmt.Errorf("apt-get --print-uris: cannot read the line %q", line)
		}
		version, err := url.PathUnescape(match[2])
		if err != nil {
			return nil, fmt.Errorf("apt-get --print-uris: version %q: %w", match[2], err)
		}
		size, err := strconv.ParseInt(match[4], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("apt-get --print-uris: size in %q: %w", line, err)
		}
		packages = append(packages, Package{Name: match[1], Version: version, Arch: match[3], SHA256: match[5], Size: size})
	}
	if len(packages) == 0 {
		return nil, errors.New("apt-get knows no file for these packages")
	}
	slices.SortFunc(packages, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
	return packages, nil
}
