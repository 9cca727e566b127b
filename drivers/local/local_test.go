package local_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
)

func TestAFullDiskSaysWhatToDo(t *testing.T) {
	err := local.Full(&os.PathError{Op: "write", Path: "/state/x", Err: syscall.ENOSPC}, "/state")
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space is left for /state; free some") {
		t.Errorf("the error is %v", err)
	}
	if other := errors.New("other"); local.Full(other, "/state") != other {
		t.Error("another error is changed")
	}
}

func TestALockIsHeldByOneUntilItIsClosed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	demand := func(want bool) {
		t.Helper()
		if held, err := local.Locked(path); err != nil || held != want {
			t.Errorf("held: %v, %v; want %v", held, err, want)
		}
	}
	demand(false)
	lock, err := local.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	demand(true)
	if _, err := local.Lock(path); err == nil || !strings.Contains(err.Error(), "which another process holds") {
		t.Errorf("a second one got %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	demand(false)
}

func TestOneAtATimeIsAttached(t *testing.T) {
	m, lock := drivers.Machine{Address: "vm.a"}, filepath.Join(t.TempDir(), "console.lock")
	dial := func() (net.Conn, error) { ours, _ := net.Pipe(); return ours, nil }
	broken := errors.New("nobody listens")
	if _, err := local.Attach(m, lock, func() (net.Conn, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	one, err := local.Attach(m, lock, dial)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := local.Attach(m, lock, dial); err == nil || err.Error() != "somebody else is attached to the console of vm.a" {
		t.Errorf("a second one got %v", err)
	}
	if err := one.Close(); err != nil {
		t.Fatal(err)
	}
	two, err := local.Attach(m, lock, dial)
	if err != nil {
		t.Fatalf("after that: %v", err)
	}
	if err := two.Close(); err != nil {
		t.Error(err)
	}
}

func TestTakenPortsAreNamed(t *testing.T) {
	holder, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Close()
	taken := holder.Addr().(*net.TCPAddr).Port
	on := func(host, guest int) drivers.Port {
		return drivers.Port{Address: "127.0.0.1", Host: host, Guest: guest, Protocol: "tcp"}
	}
	for name, test := range map[string]struct {
		m    drivers.Machine
		want string // a part of the error
	}{
		"held":        {drivers.Machine{Ports: []drivers.Port{on(taken, 80)}}, "host port 127.0.0.1:" + strconv.Itoa(taken) + " is held by local.test (process "},
		"twice":       {drivers.Machine{Ports: []drivers.Port{on(0, 80), on(0, 81)}}, "host port 127.0.0.1:0 is asked for twice"},
		"of a switch": {drivers.Machine{Ports: []drivers.Port{on(taken, 80)}, NICs: []drivers.NIC{{}}}, ""},
		"free":        {drivers.Machine{Ports: []drivers.Port{on(0, 80)}}, ""},
	} {
		err := local.PortsFree(test.m)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}
