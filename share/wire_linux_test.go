package share_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hugelgupf/p9/p9"

	"github.com/lkup/lkup/share"
)

// raw is a guest that says bytes.
type raw struct {
	t    *testing.T
	conn *os.File
}

// request is a 9P message: its size is put before it.
func request(kind byte, tag uint16, body ...any) string {
	b := []byte{0, 0, 0, 0, kind, byte(tag), byte(tag >> 8)}
	for _, part := range body {
		if s, is := part.(string); is {
			b = append(binary.LittleEndian.AppendUint16(b, uint16(len(s))), s...)
			continue
		}
		b, _ = binary.Append(b, binary.LittleEndian, part)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return string(b)
}

const (
	noTag = 0xffff
	noFID = 0xffffffff
)

var version = request(100, noTag, uint32(512000), "9P2000.L")

func (r raw) say(what string) {
	r.t.Helper()
	if _, err := r.conn.WriteString(what); err != nil {
		r.t.Fatal(err)
	}
}

// hear reads answers until one of a kind.
func (r raw) hear(kind byte) []byte {
	r.t.Helper()
	_ = r.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	for {
		head := make([]byte, 7)
		if _, err := io.ReadFull(r.conn, head); err != nil {
			r.t.Fatalf("no answer of kind %d: %v", kind, err)
		}
		body := make([]byte, binary.LittleEndian.Uint32(head)-7)
		if _, err := io.ReadFull(r.conn, body); err != nil {
			r.t.Fatal(err)
		}
		if head[4] == kind {
			return body
		}
	}
}

// begin begins a session and opens main.go in it, by a fid.
func (r raw) begin(fid uint32) {
	r.t.Helper()
	r.say(version)
	r.hear(101)
	r.say(request(104, 1, fid+1, uint32(noFID), "root", "", uint32(0)))
	r.hear(105)
	r.say(request(110, 1, fid+1, fid, uint16(1), "main.go"))
	r.hear(111)
	r.say(request(12, 1, fid, uint32(0)))
	r.hear(13)
}

// opened counts the descriptors of this process that are open on a file.
func opened(t *testing.T, path string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == path {
			n++
		}
	}
	return n
}

// TestWhoSpeaksNoProtocolLosesOnlyItsOwnSession has one guest's connection
// carry what no 9P client says, in the middle of a session.
func TestWhoSpeaksNoProtocolLosesOnlyItsOwnSession(t *testing.T) {
	for name, garbage := range map[string]string{
		"nothing":              "",
		"too short":            "\x03\x00\x00\x00\x64\xff\xff",
		"too long":             "\xff\xff\xff\x7f\x64\xff\xff",
		"longer than agreed":   "\x00\xe0\x07\x00\x74\x01\x00",
		"no length":            strings.Repeat("\x00", 64),
		"a cut one":            "\x15\x00\x00\x00\x64\xff\xff\x00\x00\x01\x00\xff\xff9P2000.L" + strings.Repeat("\xff", 32),
		"text":                 strings.Repeat("GET / HTTP/1.1\r\n", 8),
		"almost a beginning":   strings.Repeat(version[:len(version)-1], 3),
		"messages of no bytes": request(100, noTag, uint32(1), "9P2000.L"),
		"another dialect":      request(100, noTag, uint32(512000), "9P1999"),
		"no such request":      request(200, 9) + request(9, 9, uint64(0)),
		"strings of nothing":   request(110, 9, uint32(7), uint32(9), uint16(0xffff)),
		"a body too short":     request(116, 9, uint16(0)),
		"a read without end":   request(116, 9, uint32(8), uint64(0), uint32(0x7fffffff)) + request(116, 10, uint32(8), uint64(1<<63), uint32(0xffffffff)),
		"a flush of itself":    request(108, 9, uint16(9)),
		"a tag twice":          strings.Repeat(request(116, 9, uint32(8), uint64(0), uint32(500000)), 8),
		"fids of nobody":       request(120, 9, uint32(99)) + request(122, 10, uint32(98)) + request(116, 11, uint32(97), uint64(0), uint32(5)),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir)
			if err := os.Truncate(dir+"/main.go", 1<<20); err != nil {
				t.Fatal(err)
			}
			good, bad := wires(t), wires(t)
			ended := make(chan error, 1)
			go func() {
				ended <- share.Serve([]*os.File{good[1], bad[1]}, []share.Served{{Dir: dir, Protect: project}, {Dir: dir, Protect: project}})
			}()
			client, err := p9.NewClient(good[0])
			if err != nil {
				t.Fatal(err)
			}
			hostile := raw{t, bad[0]}
			hostile.begin(8)
			hostile.say(garbage)
			hostile.begin(18)
			hostile.say(request(116, 1, uint32(18), uint64(0), uint32(5)))
			if got := string(hostile.hear(117)); got != "\x05\x00\x00\x00host\n" {
				t.Errorf("its new session reads %q", got)
			}
			if n := opened(t, dir+"/main.go"); n != 1 {
				t.Errorf("main.go is open %d times, and in one session only", n)
			}
			root, err := client.Attach("/")
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := root.Walk([]string{"main.go"}); err != nil {
				t.Errorf("the other share is gone: %v", err)
			}
			for _, end := range []*os.File{bad[0], good[0]} {
				if err := end.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := <-ended; err != nil {
				t.Errorf("the server ended: %v", err)
			}
		})
	}
}

// A guest that asks for much and reads no answer has the host hold little.
func TestRequestsBeyondMeasureWaitOnTheWire(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir)
	if err := os.Truncate(dir+"/main.go", 1<<20); err != nil {
		t.Fatal(err)
	}
	pair := wires(t)
	ended := make(chan error, 1)
	go func() { ended <- share.Serve([]*os.File{pair[1]}, []share.Served{{Dir: dir}}) }()
	guest := raw{t, pair[0]}
	guest.begin(8)
	_ = guest.conn.SetWriteDeadline(time.Now().Add(time.Second))
	before := runtime.NumGoroutine()
	const most = 2000
	sent := 0
	for tag := range uint16(most) {
		if _, err := guest.conn.WriteString(request(116, tag, uint32(8), uint64(0), uint32(400000))); err != nil {
			break
		}
		sent++
	}
	if grown := runtime.NumGoroutine() - before; grown > 80 || sent < 80 {
		t.Errorf("of %d requests, %d are held at once", sent, grown)
	}
	for n := range sent {
		if got := len(guest.hear(117)); got != 4+400000 {
			t.Fatalf("answer %d has %d bytes", n, got)
		}
	}
	guest.conn.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// FuzzWire has a guest say anything; whatever it was, its next session works.
func FuzzWire(f *testing.F) {
	f.Add([]byte(version))
	for kind := range byte(128) {
		f.Add([]byte(request(kind, 3, uint32(8), uint32(9), uint16(1), "main.go", uint32(1), uint64(2))))
	}
	dir := f.TempDir()
	if err := os.WriteFile(dir+"/main.go", []byte("host\n"), 0o644); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		pair := wires(t)
		ended := make(chan error, 1)
		go func() {
			ended <- share.Serve([]*os.File{pair[1]}, []share.Served{{Dir: dir, ReadOnly: true, Protect: project}})
		}()
		guest := raw{t, pair[0]}
		guest.begin(8)
		guest.say(string(said))
		guest.say(strings.Repeat("\x00", 512000)) // more than a message that was cut may take
		guest.begin(8)
		guest.conn.Close()
		if err := <-ended; err != nil {
			t.Error(fmt.Errorf("the server ended: %w", err))
		}
	})
}
