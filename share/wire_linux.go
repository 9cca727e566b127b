package share

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"sync"
)

// The limits of what one guest has this process hold at once. Requests beyond
// them wait on the wire.
const (
	mostOutstanding = 64
	mostMessage     = 1 << 20 // bytes; lkup's guests ask for half of that
	leastMessage    = 4 << 10 // what Linux asks for at least
)

// What 9P messages begin with: their size with itself, type and tag. The
// numbers are those of Linux' include/net/9p/9p.h.
const (
	header     = 7
	tversion   = 100
	rversion   = 101
	tattach    = 104
	tflush     = 108
	twalk      = 110
	tclunk     = 120
	tremove    = 122
	twalkAttr  = 126 // an extension of the server's
	txattrwalk = 30
	noTag      = 0xffff

	shortest = header + 6 // a Tversion without a version
	dialect  = "9P2000.L"
)

// wire stands between a connection and its 9P server, which gives a connection
// up where it reads what is no message. Here that ends the guest's session
// only: what it says is swallowed until it begins another, in which nothing of
// the one before is open.
//
// Read is called by one goroutine at a time, and so is Write; neither while it
// holds what the other needs.
type wire struct {
	conn   *os.File
	in     *bufio.Reader
	closed chan struct{} // told to another than the reader
	once   sync.Once

	lost    bool     // where messages begin is not known
	left    int      // of the message that is handed on
	own     []byte   // what is handed on before it, or in its place
	opening []byte   // the Tversion of a session that begins, until it is handed on
	fids    []uint32 // of the session before it, that are yet to be closed

	mu        sync.Mutex
	changed   *sync.Cond
	pending   int             // requests without an answer
	asked     map[uint16]byte // their types, by tag
	known     map[uint32]bool // fids that the session may have
	beginning bool            // a Tversion has no answer yet
	swallow   bool            // the next answer is not for the guest
	limit     int             // of messages, as the server has told it
	answer    int             // bytes of the answer under way that are missing
	answers   byte            // its type
}

func newWire(conn *os.File) *wire {
	w := &wire{
		conn: conn, in: bufio.NewReader(conn), closed: make(chan struct{}),
		asked: map[uint16]byte{}, known: map[uint32]bool{}, limit: leastMessage,
	}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// Read gives the server whole messages. At the end it tells who serves, and
// does not return: the server's own end is a race between its goroutines.
func (w *wire) Read(p []byte) (int, error) {
	for w.left == 0 && len(w.own) == 0 {
		if err := w.next(); err != nil {
			return w.end()
		}
	}
	if len(w.own) > 0 {
		n := copy(p, w.own)
		w.own = w.own[n:]
		return n, nil
	}
	n, err := w.in.Read(p[:min(len(p), w.left)])
	w.left -= n
	if n == 0 && err != nil {
		return w.end()
	}
	return n, nil
}

func (w *wire) end() (int, error) {
	w.once.Do(func() { close(w.closed) })
	select {}
}

// next makes the next message the one that is handed on, or looks for it one
// byte further on.
func (w *wire) next() error {
	if w.opening != nil {
		w.begin()
		return nil
	}
	if w.lost {
		return w.seek()
	}
	head, err := w.in.Peek(header)
	if err != nil {
		return err
	}
	size, kind, tag := int(binary.LittleEndian.Uint32(head)), head[4], binary.LittleEndian.Uint16(head[5:])
	if kind == tversion && size >= shortest && size < leastMessage {
		return w.open(size)
	}
	if size < header || size > w.mostNow() {
		return w.seek()
	}
	if head, err = w.in.Peek(min(size, header+8)); err != nil {
		return err
	}
	if !w.admit(kind, tag, head[header:]) {
		return w.seek()
	}
	w.left = size
	return nil
}

// seek swallows a byte, unless a Tversion of 9P2000.L begins with it: there
// the guest is in step again.
func (w *wire) seek() error {
	if w.lost {
		m, err := w.in.Peek(shortest + len(dialect))
		if err != nil {
			return err
		}
		if bytes.HasPrefix(m[1:], []byte{0, 0, 0, tversion, 0xff, 0xff}) && string(m[shortest:]) == dialect {
			w.lost = false
			return w.open(int(m[0]))
		}
	}
	w.lost = true
	_, err := w.in.Discard(1)
	return err
}

// mostNow is how long a message may be. It waits until the session has begun.
func (w *wire) mostNow() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.beginning {
		w.changed.Wait()
	}
	return w.limit
}

// admit notes a request, once there is room for it. It refuses those that the
// server would never answer: a tag that is in use, and one that waits for
// itself, be it by way of another.
func (w *wire) admit(kind byte, tag uint16, body []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.pending >= mostOutstanding {
		w.changed.Wait()
	}
	if _, used := w.asked[tag]; used {
		return false
	}
	if kind == tflush && len(body) >= 2 {
		flushed := binary.LittleEndian.Uint16(body)
		if flushed == tag || w.asked[flushed] == tflush {
			return false
		}
	}
	w.note(kind, body)
	w.ask(kind, tag)
	return true
}

// note keeps account of the fids that a request makes or closes.
func (w *wire) note(kind byte, body []byte) {
	if len(body) < 4 {
		return
	}
	fid := binary.LittleEndian.Uint32(body)
	switch kind {
	case tattach:
		w.known[fid] = true
	case twalk, twalkAttr, txattrwalk:
		if len(body) >= 8 {
			w.known[binary.LittleEndian.Uint32(body[4:])] = true
		}
	case tclunk, tremove:
		delete(w.known, fid)
	}
}

func (w *wire) ask(kind byte, tag uint16) {
	w.asked[tag] = kind
	w.pending++
}

// open takes in the Tversion that begins a session.
func (w *wire) open(size int) error {
	message, err := w.in.Peek(shortest)
	if err != nil {
		return err
	}
	limit, length := int(binary.LittleEndian.Uint32(message[header:])), int(binary.LittleEndian.Uint16(message[header+4:]))
	if limit < leastMessage || size != shortest+length {
		return w.seek()
	}
	w.opening = make([]byte, size)
	if _, err := io.ReadFull(w.in, w.opening); err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(w.opening[header:], uint32(min(limit, mostMessage)))
	w.mu.Lock()
	defer w.mu.Unlock()
	for fid := range w.known {
		w.fids = append(w.fids, fid)
	}
	clear(w.known)
	return nil
}

// begin hands on what closes the last session's files, one by one, and then
// the Tversion.
func (w *wire) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.pending > 0 {
		w.changed.Wait()
	}
	clear(w.asked)
	if len(w.fids) == 0 {
		w.own, w.opening = w.opening, nil
		w.beginning = true
		w.ask(tversion, noTag)
		return
	}
	clunk := binary.LittleEndian.AppendUint32([]byte{header + 4, 0, 0, 0, tclunk, 0, 0}, w.fids[0])
	w.own, w.fids, w.swallow = clunk, w.fids[1:], true
	w.ask(tclunk, 0)
}

// Write gives the guest the server's answers, each of which begins at the
// beginning of what is written, and keeps account of them.
func (w *wire) Write(p []byte) (int, error) {
	if w.account(p) {
		if n, err := w.conn.Write(p); err != nil {
			return n, err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.answer == 0 {
		w.pending--
		w.beginning, w.swallow = w.beginning && w.answers != rversion, false
		w.changed.Broadcast()
	}
	return len(p), nil
}

// account takes in a part of an answer, and reports whether the guest is to
// have it. With the first of them a tag is free: the guest may use it as soon
// as it has read the answer.
func (w *wire) account(p []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.answer == 0:
		w.answer, w.answers = int(binary.LittleEndian.Uint32(p)), p[4]
		delete(w.asked, binary.LittleEndian.Uint16(p[5:]))
	case w.answers == rversion:
		if limit := int(binary.LittleEndian.Uint32(p)); limit > 0 {
			w.limit = limit
		}
	}
	w.answer -= len(p)
	return !w.swallow
}

// Close leaves the connection to who serves it.
func (w *wire) Close() error { return nil }
