package hyperkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/local"
	"github.com/lkup/lkup/internal/process"
)

// Network is a switch for the machine of one keeper.
type Network interface {
	// Plug carries the machine's frames, one a datagram, between the socket
	// ours, which is bound, and theirs, which it binds, and forwards m.Ports. A
	// port that somebody else holds is an error that names the holder.
	Plug(m drivers.Machine, ours, theirs string) error
	// Close frees all of that.
	Close()
}

// lockDescriptor is the machine's lock, which a keeper inherits.
const lockDescriptor = 3

// Keep is the whole of a keeper's process: it reads its order from in, answers
// on out, and returns when the machine has ended. A network of nil leaves
// Hyperkit to whoever listens at the machine's vpnkit socket.
func Keep(in io.Reader, out io.Writer, network Network) error {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) // whoever started it may be gone
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	k := &keeper{order: o, m: o.Machine, network: network, ended: make(chan struct{})}
	defer k.close()
	said := answer{}
	var exit *ExitError
	if err := k.start(); errors.As(err, &exit) {
		said = answer{Exit: exit.How, Said: exit.Said}
	} else if err != nil {
		said.Failure = err.Error()
	}
	_ = json.NewEncoder(out).Encode(said) // nobody may listen any more
	if said != (answer{}) {
		return nil
	}
	return k.wait()
}

type keeper struct {
	order
	m       drivers.Machine
	network Network
	cmd     *exec.Cmd
	closers []func()
	ended   chan struct{} // closed once Hyperkit has
	how     error         // of how it ended; set before

	mu       sync.Mutex
	attached net.Conn // who is attached to the console
}

func (k *keeper) close() {
	for n := len(k.closers) - 1; n >= 0; n-- {
		k.closers[n]()
	}
}

// start starts Hyperkit, with everything that it needs in place, and waits
// until its console and its pid are there.
func (k *keeper) start() error {
	consoles, err := k.listen(consolePath(k.m))
	if err != nil {
		return err
	}
	if err := k.plug(); err != nil {
		return err
	}
	if err := os.WriteFile(upPath(k.m), nil, 0o600); err != nil {
		return local.Full(err, k.m.Dir)
	}
	if err := k.launch(); err != nil {
		return err
	}
	tty, err := k.console()
	if err != nil {
		return k.give(err)
	}
	log, err := os.OpenFile(logPath(k.m), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return k.give(local.Full(err, k.m.Dir))
	}
	if err := k.record(); err != nil {
		return k.give(local.Full(err, k.m.Dir))
	}
	drained := make(chan struct{})
	go k.drain(tty, log, drained)
	go k.attend(consoles, tty)
	k.closers = append(k.closers, func() {
		_ = consoles.Close()
		select { // what the guest said last is in the terminal still
		case <-drained:
		case <-time.After(time.Second):
		}
		_ = tty.Close()
		_ = log.Close()
	})
	return nil
}

// listen makes a socket that only this user may connect to.
func (k *keeper) listen(path string) (*net.UnixListener, error) {
	if err := local.Remove(path); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	k.closers = append(k.closers, func() { _ = l.Close() })
	return l, os.Chmod(path, 0o600)
}

// plug makes the wires between Hyperkit and the switches: that of the stack, or
// one of the machine's own.
func (k *keeper) plug() error {
	for n, nic := range k.m.NICs {
		if err := k.wire(n, nic.MAC, nic.Socket, nic.Switch); err != nil {
			return err
		}
	}
	if len(k.m.NICs) > 0 || k.m.MAC == "" || k.network == nil {
		return nil
	}
	ours, theirs := framesPath(k.m), switchPath(k.m)
	if err := k.wire(0, k.m.MAC, ours, theirs); err != nil {
		return err
	}
	if err := k.network.Plug(k.m, ours, theirs); err != nil {
		return err
	}
	k.closers = append(k.closers, k.network.Close)
	return nil
}

// wire carries the frames of Hyperkit's n-th Ethernet between the socket ours,
// which it binds, and theirs.
func (k *keeper) wire(n int, address, ours, theirs string) error {
	mac, err := net.ParseMAC(address)
	if err != nil {
		return err
	}
	l, err := k.listen(vpnkitPath(k.m, n))
	if err != nil {
		return err
	}
	if err := local.Remove(ours); err != nil {
		return err
	}
	frames, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: ours, Net: "unixgram"})
	if err != nil {
		return err
	}
	k.closers = append(k.closers, func() { _ = frames.Close(); _ = local.Remove(ours) })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return // the machine has ended
		}
		if err = greet(conn, mac); err == nil {
			err = carry(conn, frames, &net.UnixAddr{Name: theirs, Net: "unixgram"})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "keeper: the network:", err)
		}
		_ = conn.Close()
	}()
	return nil
}

func (k *keeper) launch() error {
	words := args(k.m, wiringOf(k.m))
	k.cmd = exec.Command(k.Program, words...)
	k.cmd.Dir = k.m.Dir
	k.cmd.Env = append([]string{}, k.Env...)
	k.cmd.ExtraFiles = []*os.File{os.NewFile(lockDescriptor, "lock")}
	k.cmd.Stdout, k.cmd.Stderr = os.Stderr, os.Stderr
	if err := k.cmd.Start(); err != nil {
		return &ExitError{How: err.Error()}
	}
	go func() {
		k.how = k.cmd.Wait()
		close(k.ended)
	}()
	return nil
}

// startLimit is how long Hyperkit may take until its console is there.
const startLimit = time.Minute

// console opens the terminal that Hyperkit made, which it names, once its pid
// is written too.
func (k *keeper) console() (*os.File, error) {
	for limit := time.Now().Add(startLimit); ; {
		if tty, err := k.tty(); err == nil {
			return tty, nil
		} else if time.Now().After(limit) {
			return nil, fmt.Errorf("hyperkit has no console after %s: %w", startLimit, err)
		}
		select {
		case <-k.ended:
			return nil, k.died()
		case <-time.After(settleStep):
		}
	}
}

func (k *keeper) tty() (*os.File, error) {
	pid, err := os.ReadFile(pidPath(k.m))
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(string(pid)) != strconv.Itoa(k.cmd.Process.Pid) {
		return nil, fmt.Errorf("%s says %q, want %d", pidPath(k.m), pid, k.cmd.Process.Pid)
	}
	// Newer ones write the terminal's name into a file, older ones link to it.
	path := filepath.Join(k.m.Dir, ttyName)
	if info, err := os.Lstat(path); err != nil {
		return nil, err
	} else if info.Mode().IsRegular() {
		name, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		path = strings.TrimSpace(string(name))
	}
	tty, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
		return nil, errors.Join(err, tty.Close())
	}
	return tty, nil
}

// died says what Hyperkit said before it ended, or what is known to be the cause.
func (k *keeper) died() error {
	said, err := os.ReadFile(saidPath(k.m))
	if err != nil {
		said = []byte(err.Error())
	}
	how := "no error"
	if k.how != nil {
		how = k.how.Error()
	}
	return errors.Join(&ExitError{How: how, Said: strings.TrimSpace(string(said))}, local.Remove(upPath(k.m), pidPath(k.m)))
}

// give ends a Hyperkit that is of no use.
func (k *keeper) give(why error) error {
	_ = k.cmd.Process.Kill() // it may have ended
	<-k.ended
	return errors.Join(why, local.Remove(upPath(k.m), pidPath(k.m)))
}

func (k *keeper) record() error {
	r := record{Ports: k.m.Ports}
	var err error
	if r.Hyperkit, err = process.Of(k.cmd.Process.Pid, mark(k.m)); err != nil {
		return err
	}
	if r.Started, err = r.Hyperkit.Started(); err != nil {
		return err
	}
	if r.Keeper, err = process.Of(os.Getpid(), k.m.Dir); err != nil {
		return err
	}
	for _, v := range k.m.Volumes {
		info, err := os.Stat(v.Path)
		if err != nil {
			return err
		}
		if r.Volumes == nil {
			r.Volumes = map[string]int{}
		}
		r.Volumes[v.Name] = int(info.Size() / mib)
	}
	return write(recordPath(k.m), r)
}

// drain writes all that the guest says to the log, and to who is attached. The
// first of it proves that the kernel runs and has read its initrd, so that the
// seed can go.
func (k *keeper) drain(tty io.Reader, log io.Writer, done chan<- struct{}) {
	defer close(done)
	buffer := make([]byte, 4096)
	for first := true; ; first = false {
		n, err := tty.Read(buffer)
		if n > 0 {
			if first {
				_ = local.Remove(seededPath(k.m))
			}
			_, _ = log.Write(buffer[:n]) // a full disk must not stop the guest
			k.mu.Lock()
			if k.attached != nil {
				_ = k.attached.SetWriteDeadline(time.Now().Add(time.Second))
				_, _ = k.attached.Write(buffer[:n])
			}
			k.mu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// attend lets one person after another type into the console.
func (k *keeper) attend(consoles net.Listener, tty io.Writer) {
	for {
		conn, err := consoles.Accept()
		if err != nil {
			return
		}
		k.attach(conn)
		_, _ = io.Copy(tty, conn) // until they leave
		k.attach(nil)
		_ = conn.Close()
	}
}

func (k *keeper) attach(conn net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.attached = conn
}

// wait waits until the machine ends, and notes whether its guest powered off.
func (k *keeper) wait() error {
	<-k.ended
	paths := []string{recordPath(k.m), pidPath(k.m), seededPath(k.m)}
	if k.how == nil {
		paths = append(paths, upPath(k.m))
	}
	return local.Remove(paths...)
}
