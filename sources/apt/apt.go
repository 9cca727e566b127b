// Package apt makes components of LinuxKit templates from Debian or Ubuntu
// packages: "apt:busybox-static", "apt:runc,iptables". The host's own apt
// resolves, downloads and verifies them, with the host's package sources and
// keyrings, in a private directory.
//
// It promises to need no root and to leave the host's own package database
// alone. It runs no code of a package: no maintainer script, no binary.
package apt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// Settings say where packages come from and where results go.
type Settings struct {
	Store *store.Store
	// Now decides whether apt's package lists are too old to resolve a new
	// ref from; they are renewed after a day.
	Now func() time.Time
	// Etc is the folder of the host's package sources; empty means /etc/apt.
	Etc string
	// Offline makes every call that would ask the archive a
	// [sources.ErrOffline].
	Offline bool
}

// Components gives packages as components. It implements [sources.Components].
type Components struct {
	store *store.Store
	host  host
}

// New starts nothing; a missing apt shows when a ref is resolved.
func New(settings Settings) *Components {
	etc := settings.Etc
	if etc == "" {
		etc = "/etc/apt"
	}
	return &Components{
		store: settings.Store,
		host:  host{store: settings.Store, now: settings.Now, etc: etc, offline: settings.Offline},
	}
}

// manifest is what a digest of this package stands for: the blob with that
// digest. Format changes when the same packages come to mean other files.
type manifest struct {
	Format   string    `json:"format"`
	Arch     string    `json:"arch"`
	Named    []string  `json:"named"`
	Modules  []string  `json:"modules,omitempty"` // of a kernel
	Packages []Package `json:"packages"`
}

const componentFormat = "apt-component/2"

// Resolve picks the packages that ref names, with what they depend on, as the
// host's package sources have them now. The choice is pinned: later calls
// read it back, until the host's package sources change.
func (c *Components) Resolve(ctx context.Context, ref, arch string) (sources.Digest, error) {
	names, err := parseRef(ref)
	if err != nil {
		return "", err
	}
	return c.resolve(ctx, ref, arch, func() (manifest, error) {
		packages, err := c.host.closure(ctx, arch, names)
		if err != nil {
			return manifest{}, fmt.Errorf("resolve %s: %w", ref, err)
		}
		return manifest{Format: componentFormat, Arch: arch, Named: names, Packages: packages}, nil
	}, componentFormat)
}

// resolve pins ref to the manifest that choose returns. The circumstances are
// part of the pin's name, so that it stops to count when they change.
func (c *Components) resolve(ctx context.Context, ref, arch string, choose func() (manifest, error), circumstances ...string) (sources.Digest, error) {
	circumstances, err := c.circumstances(arch, circumstances)
	if err != nil {
		return "", err
	}
	if d, ok := c.store.Pinned(ref, circumstances...); ok {
		if _, ok := c.store.Blob(d); ok {
			return d, nil
		}
	}
	m, err := choose()
	if err != nil {
		return "", err
	}
	content, err := json.Marshal(m)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", ref, err)
	}
	d, err := c.store.Put(ctx, content)
	if err != nil {
		return "", fmt.Errorf("resolve %s: %w", ref, err)
	}
	return d, c.store.Pin(d, ref, circumstances...)
}

func (c *Components) circumstances(arch string, more []string) ([]string, error) {
	sum, err := c.host.sourcesSum()
	if err != nil {
		return nil, err
	}
	return append([]string{"apt", arch, sum}, more...), nil
}

// Image downloads and unpacks the packages of d. Each is a layer of its own,
// shared by all components that contain it.
func (c *Components) Image(ctx context.Context, ref, arch string, d sources.Digest, report sources.Report) (v1.Image, error) {
	m, err := c.manifest(d)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", ref, err)
	}
	key := store.Key(componentFormat, string(d))
	image, err := c.store.BuildImage(ctx, key, arch, v1.Config{}, func() ([]sources.Digest, error) {
		if err := c.download(ctx, ref, arch, m, []string{componentFormat}, report); err != nil {
			return nil, err
		}
		return c.layers(ctx, m, report)
	})
	if err == nil {
		err = c.store.Note(d, store.Note{Refs: []sources.Digest{key}})
	}
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", ref, err)
	}
	return image, nil
}

// Stored reports whether the component of d is unpacked here, or its packages
// are. It implements [sources.Storer].
func (c *Components) Stored(d sources.Digest) bool { return c.stored(d, componentFormat) }

func (c *Components) stored(d sources.Digest, format string) bool {
	m, err := c.manifest(d)
	if err != nil {
		return false
	}
	if _, ok := c.store.Built(store.Key(format, string(d))); ok {
		return true
	}
	return len(c.missing(m)) == 0
}

// missing are the packages of m that are not here.
func (c *Components) missing(m manifest) []Package {
	return slices.DeleteFunc(slices.Clone(m.Packages), func(p Package) bool {
		_, ok := c.store.Blob(p.Digest())
		return ok
	})
}

func (c *Components) manifest(d sources.Digest) (manifest, error) {
	content, err := c.store.Get(d)
	if err != nil {
		return manifest{}, err
	}
	var m manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return manifest{}, fmt.Errorf("read package list %s: %w", d.Short(), err)
	}
	return m, nil
}

// download brings all packages of m into the store. If the archive no longer
// has one, the pin is dropped, so that the next run pins what it has now.
func (c *Components) download(ctx context.Context, ref, arch string, m manifest, circumstances []string, report sources.Report) error {
	missing := c.missing(m)
	if len(missing) == 0 {
		return nil
	}
	err := c.host.download(ctx, arch, missing, report)
	var failed *CommandError
	if !errors.As(err, &failed) {
		return err
	}
	circumstances, pinErr := c.circumstances(arch, circumstances)
	if pinErr != nil {
		return pinErr
	}
	if err := errors.Join(c.store.Unpin(ref, circumstances...), c.host.forgetLists(arch)); err != nil {
		return err
	}
	return fmt.Errorf("%w\nif the archive has dropped a version, run the same command again: it picks what the archive has now", err)
}

// packageName is Debian's form of a package name, with an optional version.
var packageName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?$`)
})

// parseRef splits "apt:a,b=1.0" into names, sorted, because their order means
// nothing. It also keeps options of apt out of refs.
func parseRef(ref string) ([]string, error) {
	list, ok := strings.CutPrefix(ref, "apt:")
	if !ok {
		return nil, fmt.Errorf("%q is not an apt ref; write apt:PACKAGE or apt:PACKAGE,PACKAGE", ref)
	}
	names := strings.Split(list, ",")
	for i, name := range names {
		names[i] = strings.TrimSpace(name)
		if !packageName().MatchString(names[i]) {
			return nil, fmt.Errorf("%q in %q is not a package name; write apt:PACKAGE or apt:PACKAGE,PACKAGE", name, ref)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// sourcesSum tells one state of the host's package sources from another.
func (h host) sourcesSum() (string, error) {
	files, err := filepath.Glob(filepath.Join(h.etc, "sources.list.d", "*"))
	if err != nil {
		return "", fmt.Errorf("read package sources: %w", err)
	}
	hash := sha256.New()
	for _, file := range append([]string{filepath.Join(h.etc, "sources.list")}, files...) {
		content, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("read package sources: %w", err)
		}
		sum := sha256.Sum256(content)
		hash.Write(sum[:])
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}
