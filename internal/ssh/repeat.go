package ssh

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/lkup/lkup/guest"
)

// Repeater is a session in which a guest is told of changes in its shares, so
// that its own watchers hear of them. It is not safe for concurrent use.
type Repeater struct {
	channel io.ReadWriteCloser
	in      *bufio.Reader // no larger than an answer may be
	encode  func(guest.Repeat) (string, error)
}

// answerSize is how long a guest's answer may be, in bytes.
const answerSize = 4 << 10

// Repeater begins such a session, or gives up when ctx ends. A guest that is not lkup's does the same by
// its shell, but for holding directories.
func (c *Conn) Repeater(ctx context.Context) (*Repeater, error) {
	channel, requests, known, err := c.subsystem(ctx, guest.RepeatSubsystem)
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(requests)
	if known {
		return &Repeater{channel: channel, in: bufio.NewReaderSize(channel, answerSize), encode: repeatJSON}, nil
	}
	_ = channel.Close() // nothing runs in it
	return c.repeaterByShell(ctx)
}

// repeatShell is a shell that may change what is others'.
const repeatShell = `[ "$(id -u)" = 0 ] || ! sudo -n true 2>/dev/null || exec sudo -n sh; exec sh`

func (c *Conn) repeaterByShell(ctx context.Context) (*Repeater, error) {
	session, err := c.client.NewSession()
	if err != nil {
		return nil, fmt.Errorf("open a session: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = session.Close() })
	defer stop()
	stdin, err := session.StdinPipe()
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	stdout, err := session.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, session.Close())
	}
	if err := session.Start(Quote([]string{"sh", "-c", repeatShell})); err != nil {
		return nil, errors.Join(ctx.Err(), fmt.Errorf("start a shell: %w", err), session.Close())
	}
	both := struct {
		io.Reader
		io.Writer
		io.Closer
	}{stdout, stdin, session}
	return &Repeater{channel: both, in: bufio.NewReaderSize(stdout, answerSize), encode: repeatScript}, nil
}

// Close ends the session, and with it what is held.
func (r *Repeater) Close() error { return r.channel.Close() }

// Repeat tells the guest, and waits until it has done so. It returns how many
// changes were repeated. After an error, or when ctx ended, the session is over.
func (r *Repeater) Repeat(ctx context.Context, what guest.Repeat) (int, error) {
	said, err := r.encode(what)
	if err = errors.Join(err, ctx.Err()); err != nil {
		return 0, errors.Join(err, r.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = r.channel.Close() })
	defer stop()
	var done guest.Repeated
	if _, err = io.WriteString(r.channel, said); err == nil {
		var line []byte
		if line, err = r.in.ReadSlice('\n'); err == nil {
			err = json.Unmarshal(line, &done)
		}
	}
	if err != nil {
		err = errors.Join(ctx.Err(), fmt.Errorf("repeat changes in the guest: %w", err))
		_ = r.Close() // that says no more
	}
	return done.Changes, err
}

func repeatJSON(what guest.Repeat) (string, error) {
	content, err := json.Marshal(what)
	return string(content) + "\n", err
}

// wordsAtOnce is how many paths one command is given: they, and what stands
// around them, are fewer bytes than any system's limit.
const wordsAtOnce = 200

// repeatScript is for a guest's shell. find sees that each is still what it was,
// and no link, before chmod changes nothing.
func repeatScript(what guest.Repeat) (string, error) {
	byMode := map[uint32][]string{}
	for _, c := range what.Changed {
		if c.Mode&^0o1777 == 0 { // who sets the others may lose them
			byMode[c.Mode] = append(byMode[c.Mode], c.Path)
		}
	}
	var b strings.Builder
	b.WriteString("n=0\n")
	for _, mode := range slices.Sorted(maps.Keys(byMode)) {
		octal := strconv.FormatUint(uint64(mode), 8)
		for paths := range slices.Chunk(byMode[mode], wordsAtOnce) {
			find := Quote(append(append([]string{"find"}, paths...), "!", "-type", "l", "-prune", "-perm", octal, "-exec", "chmod", octal, "{}", "+", "-print"))
			b.WriteString("n=$((n + $(" + find + " 2>/dev/null </dev/null | wc -l)))\n")
		}
	}
	b.WriteString(`echo "{\"changes\":$n}"` + "\n")
	return b.String(), nil
}
