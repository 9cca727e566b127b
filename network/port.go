package network

import (
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lkup/lkup/drivers"
)

// wire is the kind of socket that frames go over: one frame is one datagram.
const wire = "unixgram"

// frame is an Ethernet frame in a buffer that is used again.
type frame struct {
	pool *sync.Pool // where it goes back to
	n    int
	data [frameRoom]byte
}

// mtu is what guests may send at once; frames are as much longer as Ethernet's
// header is.
const (
	mtu      = drivers.NetworkMTU
	maxFrame = mtu + ethernetHeader
	// frameRoom is more, so that a frame that is too long is seen to be.
	frameRoom = maxFrame + 64
)

func (f *frame) bytes() []byte { return f.data[:f.n] }

func (s *Switch) newFrame() *frame {
	f, used := s.frames.Get().(*frame)
	if !used {
		f = &frame{pool: &s.frames}
	}
	return f
}

func (f *frame) free() { f.pool.Put(f) }

// queue is how many frames wait for a guest that is slow to read. More are
// dropped, as any switch does.
const queue = 256

// port is where a machine's NIC is plugged in.
type port struct {
	id, vm, name string
	nic          atomic.Pointer[drivers.NIC]
	mac          hardware
	address      netip.Addr
	address6     netip.Addr
	lan          *lan

	in      *net.UnixConn
	out     chan *frame
	done    chan struct{}
	running sync.WaitGroup

	received, sent, dropped atomic.Int64 // frames, as the guest counts: received from us
}

func newPort(m Machine, nic *drivers.NIC, l *lan) (*port, error) {
	mac, err := parseHardware(nic.MAC)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(nic.Switch); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	in, err := net.ListenUnixgram(wire, &net.UnixAddr{Name: nic.Switch, Net: wire})
	if err != nil {
		return nil, err
	}
	_ = in.SetReadBuffer(1 << 20) // else it is slower
	p := &port{
		id: m.ID, vm: m.Address, name: m.Name, mac: mac, address: nic.Address, address6: nic.Address6, lan: l,
		in: in, out: make(chan *frame, queue), done: make(chan struct{}),
	}
	p.nic.Store(nic)
	return p, nil
}

func (p *port) run() {
	p.running.Add(2)
	go p.read()
	go p.write()
}

func (p *port) close() {
	close(p.done)
	_ = p.in.Close() // nothing is left to be said
	p.running.Wait()
}

func (p *port) read() {
	defer p.running.Done()
	for {
		f := p.lan.owner.newFrame()
		n, err := p.in.Read(f.data[:])
		if err != nil {
			f.free()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		f.n = n
		p.sent.Add(1)
		if n > maxFrame || !p.honest(f.bytes()) {
			p.dropped.Add(1)
			f.free()
			continue
		}
		p.lan.carry(p, f)
	}
}

// send hands a frame to the guest, and owns it from now on. It never waits.
func (p *port) send(f *frame) {
	select {
	case p.out <- f:
	default:
		p.dropped.Add(1)
		f.free()
	}
}

// absent is how long nothing is tried for a guest whose driver has no socket.
const absent = 50 * time.Millisecond

func (p *port) write() {
	defer p.running.Done()
	var conn *net.UnixConn
	unwatch := func() bool { return true }
	hangUp := func() {
		unwatch()
		if conn != nil {
			_ = conn.Close() // its peer is gone
			conn = nil
		}
	}
	defer hangUp()
	var next time.Time
	for {
		select {
		case <-p.done:
			return
		case f := <-p.out:
			if conn == nil && time.Now().After(next) {
				conn, _ = net.DialUnix(wire, nil, &net.UnixAddr{Name: p.nic.Load().Socket, Net: wire}) // nil is dealt with below
				if next = time.Now().Add(absent); conn != nil {
					unwatch = p.watch(conn)
				}
			}
			if conn == nil {
				p.dropped.Add(1)
			} else if _, err := conn.Write(f.bytes()); err != nil {
				hangUp()
				p.dropped.Add(1)
			} else {
				p.received.Add(1)
			}
			f.free()
		}
	}
}

// watch ends a write that waits for a guest when the port is closed.
func (p *port) watch(conn *net.UnixConn) (unwatch func() bool) {
	stop := make(chan struct{})
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		select {
		case <-p.done:
			_ = conn.SetWriteDeadline(time.Now()) // it is open, or nobody writes
		case <-stop:
		}
	}()
	return sync.OnceValue(func() bool { close(stop); return true })
}
