package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync/atomic"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// Bounds on what a guest may make lkup take in. Whoever owns the guest owns its
// file server, so nothing that it says ends by itself.
const (
	listingLimit = 32 << 20  // bytes that one directory's names may take
	entryLimit   = 2_000_000 // files, directories and links of one copy
	depthLimit   = 200
	// growthLimit is what a file may have that claims to be smaller, as those
	// of /proc do.
	growthLimit = 1 << 20
)

// Copied is what a copy has done so far.
type Copied struct {
	Files int
	Bytes int64
	// LeftOut says of each thing that was not copied why: a link that leads out
	// of the tree, a socket, a device.
	LeftOut []string
}

// Copier copies files between host and guest. It is for one goroutine.
type Copier struct {
	// Report, if set, is called now and then, from one goroutine or another.
	Report func(files int, bytes int64)

	client  *sftp.Client
	budget  *budget
	entries int
	files   atomic.Int64
	bytes   atomic.Int64
	leftOut []string
}

// Copier opens a file transfer over the connection. It ends with ctx, and must
// be closed.
func (c *Conn) Copier(ctx context.Context) (*Copier, error) {
	session, err := c.client.NewSession()
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	client, b, err := transferClient(session)
	if err != nil {
		_ = session.Close() // the error says more
		return nil, fmt.Errorf("start the guest's file server: %w", err)
	}
	context.AfterFunc(ctx, func() { _ = session.Close() })
	return &Copier{client: client, budget: b}, nil
}

func transferClient(session *ssh.Session) (*sftp.Client, *budget, error) {
	write, err := session.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	read, err := session.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := session.RequestSubsystem("sftp"); err != nil {
		return nil, nil, err
	}
	b := &budget{Reader: read}
	client, err := sftp.NewClientPipe(b, write, sftp.UseConcurrentWrites(true))
	return client, b, err
}

// Close ends the transfer.
func (c *Copier) Close() error { return c.client.Close() }

// errEndless ends a transfer whose guest says more than anybody could need.
var errEndless = errors.New("the guest's answer has no end")

// budget bounds what is read while it is limited.
type budget struct {
	io.Reader
	limited atomic.Bool
	left    atomic.Int64
}

func (b *budget) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.limited.Load() && b.left.Add(-int64(n)) < 0 {
		return 0, errEndless
	}
	return n, err
}

// within does something for which the guest may say so many bytes.
func (b *budget) within(bytes int64, do func() error) error {
	b.left.Store(bytes)
	b.limited.Store(true)
	defer b.limited.Store(false)
	err := do()
	if err != nil && b.left.Load() < 0 {
		return errEndless
	}
	return err
}

// count notes one more entry.
func (c *Copier) count(name string, depth int) error {
	if c.entries++; c.entries > entryLimit {
		return fmt.Errorf("%s: these are more than %d files; copy a part of them", name, entryLimit)
	}
	if depth > depthLimit {
		return fmt.Errorf("%s lies more than %d directories deep", name, depthLimit)
	}
	return nil
}

func (c *Copier) leaveOut(name, why string) {
	c.leftOut = append(c.leftOut, name+" "+why)
}

// copied is what was done so far.
func (c *Copier) copied() Copied {
	return Copied{Files: int(c.files.Load()), Bytes: c.bytes.Load(), LeftOut: c.leftOut}
}

// add notes progress.
func (c *Copier) add(files, bytes int) {
	all, size := c.files.Add(int64(files)), c.bytes.Add(int64(bytes))
	if c.Report != nil {
		c.Report(int(all), size)
	}
}

// counted passes on what is written, and counts it.
type counted struct {
	io.Writer
	c *Copier
}

func (w counted) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	w.c.add(0, n)
	return n, err
}

// leadsOut reports whether a link at a path within a tree may lead out of it.
// ".." is followed only at its beginning: behind another link it would lead
// somewhere else than the text says.
func leadsOut(at, target string) bool {
	if path.IsAbs(target) || target == "" || strings.Contains(target, "\x00") {
		return true
	}
	depth, down := strings.Count(at, "/"), false // directories above the link
	for part := range strings.SplitSeq(target, "/") {
		switch {
		case part == "" || part == ".":
		case part != "..":
			down = true
		case down || depth == 0:
			return true
		default:
			depth--
		}
	}
	return false
}

// plainName reports whether a name that a guest gives can be one in a directory.
func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

// contents reports whether a path means what is in a directory, as cp and
// docker cp have it: "site/.".
func contents(name string) bool { return name == "." || strings.HasSuffix(name, "/.") }
