// Package sources is the image contract: a source turns what the user wrote
// (a ref) into an identity (a digest), and an identity into files here (an
// artifact). What it stores is content-addressed and never changes.
package sources

import (
	"context"
	"errors"
	"regexp"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/spec"
)

// Digest identifies an artifact: "sha256:" and 64 hex characters. Two equal
// digests are the same files for ever.
type Digest string

var digestForm = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
})

// Valid reports whether d has the form of a digest. A digest from outside is
// checked with it before it becomes part of a path.
func (d Digest) Valid() bool { return digestForm().MatchString(string(d)) }

// Hex is the digest without its algorithm.
func (d Digest) Hex() string { return string(d[len("sha256:"):]) }

// Short is the first 12 hex characters, for people.
func (d Digest) Short() string { return d.Hex()[:12] }

// Source gives bootable images. Both methods may be called concurrently and
// repeated; a second call with the same outcome does no work twice.
type Source interface {
	// Resolve pins an image to a digest. It makes nothing but what it must
	// download to know the digest.
	Resolve(ctx context.Context, img spec.Image) (Digest, error)
	// Fetch brings the artifact here, by download or by building it, if it is
	// not here already. It fails rather than give files of another digest.
	Fetch(ctx context.Context, img spec.Image, d Digest, report Report) (Artifact, error)
}

// Storer is a Source, or Components, that fetches from elsewhere and can say
// what is here already. Those that only read local files need not be one.
type Storer interface {
	// Stored reports whether Fetch, or Image, of d needs no network.
	Stored(d Digest) bool
}

// ErrOffline is wrapped by the errors of those who would need the network to
// resolve or to fetch, and were told to do without.
var ErrOffline = errors.New("the network may not be used")

// Artifact is the files of a digest. They are shared by all VMs and read-only.
type Artifact struct {
	Digest Digest
	Arch   string // GOARCH

	// Kernel, Initrds and Cmdline are set for images that boot a kernel
	// directly. Kernel is ready for the driver, that is unpacked where that
	// is faster.
	Kernel  string
	Initrds []string
	Cmdline string

	// Disk is set for images that boot from a disk.
	Disk       string
	DiskFormat string // raw, qcow2 or iso, as read from its header
	Firmware   string // spec.FirmwareUEFI or spec.FirmwareBIOS, if nothing else starts the disk, or NoFirmware; else empty

	// Guest says whether lkup's own init runs in the image, and so whether it
	// takes keys, shares and settings from a seed.
	Guest bool
}

// NoFirmware says of a disk that nothing starts it: it has partitions, and
// neither code for a BIOS nor anything for UEFI.
const NoFirmware = "none"

// Component is one OCI image named in a LinuxKit template.
type Component struct {
	Digest Digest
	Image  v1.Image
}

// Components gives the OCI images that templates are made of, for one scheme:
// "apt:busybox-static", "builtin:init", "oci-layout:dir".
type Components interface {
	// Resolve pins ref, scheme included, for a guest architecture (GOARCH).
	Resolve(ctx context.Context, ref, arch string) (Digest, error)
	// Image fetches what Resolve pinned. Its layers can be read often and
	// cheaply: they are on disk, uncompressed or nearly so.
	Image(ctx context.Context, ref, arch string, d Digest, report Report) (v1.Image, error)
}

// Report is told of progress, by several goroutines at once. It may be nil.
type Report func(Progress)

// Progress is a fact about a download or a build.
type Progress struct {
	What  string // "linux-image-6.1.0-9-amd64", "unpack kernel"
	Done  int64  // bytes
	Total int64  // bytes; 0 if unknown
}
