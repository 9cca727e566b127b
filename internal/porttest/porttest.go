// Package porttest gives host ports to tests. A port that it gives belongs to
// one test until that ends: no other test gets it, in this process or another
// that runs on this host, and no system gives it to whoever binds port 0 or
// makes a connection. So a test may free a port and come back to it. It never
// listens itself but to try whether a port is free.
package porttest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

const (
	// Size is how many ports a block has.
	Size = 32
	// Blocks lie from lowest to highest where the system gives none of these:
	// above the ports that people know by number, and below those that tests'
	// files name, from 28000.
	lowest, highest = 10000, 28000
)

// Block is ports that follow each other, reserved for one test. It is for one
// goroutine at a time.
type Block struct {
	First int
	next  int
	lock  *os.File
}

// Reserve gives a block that is free until release is called. Whoever is
// killed releases it too.
func Reserve() (*Block, error) {
	first, end := span(readRange(rangeFile))
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("lkup-test-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// Each process begins elsewhere, so that few try the same.
	blocks := (end - first) / Size
	for n := range blocks {
		at := first + (n+os.Getpid())%blocks*Size
		lock, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(at)), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil && allFree(at) {
			return &Block{First: at, next: at, lock: lock}, nil
		}
		lock.Close()
	}
	return nil, fmt.Errorf("all %d blocks of ports from %d to %d are held; %s has their locks", blocks, first, end-1, dir)
}

// Release gives the block back.
func (b *Block) Release() error { return b.lock.Close() }

// Next gives a port of the block's first half that it has not given before.
func (b *Block) Next() (int, error) {
	if b.next >= b.First+Size/2 {
		return 0, fmt.Errorf("the test has had all of its %d ports", Size/2)
	}
	b.next++
	return b.next - 1, nil
}

// Auto is the block's second half as LKUP_AUTO_PORTS takes it.
func (b *Block) Auto() string { return fmt.Sprintf("%d-%d", b.First+Size/2, b.First+Size-1) }

// Of reserves a block until the test ends.
func Of(t testing.TB) *Block {
	t.Helper()
	b, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Release() })
	return b
}

const rangeFile = "/proc/sys/net/ipv4/ip_local_port_range"

// readRange is what this host gives to whoever asks for any port.
func readRange(file string) (from, to int) {
	content, err := os.ReadFile(file)
	if err == nil {
		_, err = fmt.Sscan(string(content), &from, &to)
	}
	if err != nil {
		return 49152, 65535 // IANA's, as other systems have it
	}
	return from, to
}

// span is where blocks lie: below the ports that the system gives, or, where
// there is no room, above them.
func span(from, to int) (first, end int) {
	if end = min(from, highest); end-lowest >= 64*Size {
		return lowest, end
	}
	return max(to+1, lowest), 65536
}

func allFree(first int) bool {
	for port := first; port < first+Size; port++ {
		if !free(port) {
			return false
		}
	}
	return true
}

// free tries all addresses of the host at once.
func free(port int) bool {
	where := ":" + strconv.Itoa(port)
	l, err := net.Listen("tcp", where)
	if err != nil {
		return false
	}
	c, err := net.ListenPacket("udp", where)
	if err == nil {
		err = c.Close()
	}
	return errors.Join(err, l.Close()) == nil
}
