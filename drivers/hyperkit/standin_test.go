package hyperkit_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/guest"
)

// The stand-in takes Hyperkit's options and does with them what Hyperkit does,
// in the same order, as far as somebody outside can see: the pid file, the
// devices' files, vpnkit's protocol, the terminal, signals and exit statuses.
// Where Hyperkit would run a guest it runs one of Go, which reads its kernel
// and initrd, obeys the power button, and has a TCP/IP stack on each network.

// guestAddress is what it has where its command line has no ip=ADDRESS, one for
// each network.
const guestAddress = "10.0.2.15"

// slots is a flag that may be given again and again.
type slots []string

func (s *slots) String() string { return strings.Join(*s, " ") }

func (s *slots) Set(value string) error {
	*s = append(*s, value)
	return nil
}

// hardware is what the options add up to.
type hardware struct {
	acpi             bool
	cpus             int
	memory           int // MiB
	pid, uuid        string
	devices          slots
	serial, firmware string

	wires []wire
	tty   *os.File
	slave *os.File // open, for a terminal that nobody has open is an error here
	disks []*os.File
}

// wire is an Ethernet.
type wire struct {
	net.Conn
	mac net.HardwareAddr
}

func standIn(words []string) (status int) {
	var h hardware
	var memory string
	flags := flag.NewFlagSet("hyperkit", flag.ContinueOnError)
	flags.BoolVar(&h.acpi, "A", false, "")
	flags.Bool("u", false, "")
	version := flags.Bool("v", false, "")
	flags.IntVar(&h.cpus, "c", 1, "")
	flags.StringVar(&memory, "m", "256M", "")
	flags.StringVar(&h.pid, "F", "", "")
	flags.StringVar(&h.uuid, "U", "", "")
	flags.Var(&h.devices, "s", "")
	flags.StringVar(&h.serial, "l", "", "")
	flags.StringVar(&h.firmware, "f", "", "")
	if err := flags.Parse(words); err != nil || flags.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage")
		return 1
	}
	if *version {
		fmt.Println("hyperkit: 0.20210107\n\nHomepage: https://github.com/docker/hyperkit")
		return 0
	}
	var err error
	if h.memory, err = strconv.Atoi(strings.TrimSuffix(memory, "M")); err != nil || h.cpus < 1 || h.cpus > 16 || len(h.uuid) != 36 {
		fmt.Fprintln(os.Stderr, "invalid memory, processors or uuid")
		return 1
	}
	defer h.close()
	if err := h.setUp(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return h.run()
}

func (h *hardware) close() {
	if h.tty != nil {
		h.slave.Close()
		h.tty.Close()
	}
	if h.pid != "" {
		os.Remove(h.pid)
	}
}

// setUp does what Hyperkit does before its first processor runs.
func (h *hardware) setUp() error {
	if parts := strings.SplitN(h.firmware, ",", 4); parts[0] != "kexec" && parts[0] != "bootrom" || len(parts) != 4 {
		return fmt.Errorf("Invalid firmware argument %q", h.firmware)
	}
	f, err := os.OpenFile(h.pid, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		h.pid = "" // it is another's
		return fmt.Errorf("Failed to set up pidfile: %w", err)
	}
	fmt.Fprint(f, os.Getpid())
	f.Close()
	taken := map[string]bool{}
	for _, device := range h.devices {
		slot, rest, _ := strings.Cut(device, ",")
		slot, _, _ = strings.Cut(slot, ":")
		if n, err := strconv.Atoi(slot); err != nil || n > 31 || taken[slot] {
			return fmt.Errorf("pci slot %q is taken, or is none", slot)
		}
		taken[slot] = true
		kind, options, _ := strings.Cut(rest, ",")
		switch kind {
		case "hostbridge", "lpc", "virtio-rnd":
		case "virtio-blk":
			err = h.disk(options)
		case "virtio-vpnkit":
			err = h.connect(options)
		default:
			err = fmt.Errorf("unknown device %q", kind)
		}
		if err != nil {
			return err
		}
	}
	return h.terminal()
}

func (h *hardware) disk(options string) error {
	path, rest, _ := strings.Cut(options, ",")
	how := os.O_RDWR
	if rest == "ro" {
		how = os.O_RDONLY
	} else if rest != "" {
		return fmt.Errorf("Invalid device option %q", rest)
	}
	f, err := os.OpenFile(path, how, 0)
	h.disks = append(h.disks, f)
	return err
}

// connect tries until somebody listens, and asks for an Ethernet.
func (h *hardware) connect(options string) error {
	path, uuid := "", ""
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "path":
			path = value
		case "uuid":
			uuid = value
		default:
			return fmt.Errorf("invalid option: %s", option)
		}
	}
	if len(uuid) != 36 {
		return errors.New("uuids need to be 36 characters long")
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		conn, err := net.Dial("unix", path)
		if err != nil {
			continue
		}
		hello := append([]byte("VMN3T\x16\x00\x00\x00"), bytes.Repeat([]byte("c"), 40)...)
		command := append([]byte("\x01"+uuid), 0, 0, 0, 0)
		reply, told := make([]byte, len(hello)), make([]byte, 258)
		_, err1 := conn.Write(hello)
		_, err2 := io.ReadFull(conn, reply)
		_, err3 := conn.Write(command)
		_, err4 := io.ReadFull(conn, told)
		if err := errors.Join(err1, err2, err3, err4); err != nil || string(reply[:9]) != string(hello[:9]) || told[0] != 1 {
			return fmt.Errorf("vpnkit's protocol: %v, %q, %q", err, reply[:9], told[:11])
		}
		if mtu := binary.LittleEndian.Uint16(told[1:]); mtu != 1500 {
			return fmt.Errorf("MTU %d", mtu)
		}
		h.wires = append(h.wires, wire{conn, told[5:11]})
		return nil
	}
}

func (h *hardware) terminal() error {
	port, options, _ := strings.Cut(h.serial, ",")
	if port != "com1" {
		return fmt.Errorf("invalid lpc device configuration %q", h.serial)
	}
	for option := range strings.SplitSeq(options, ",") {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "autopty":
			tty, slave, err := pty.Open()
			if err != nil {
				return err
			}
			h.tty, h.slave = tty, slave
			if _, err := term.MakeRaw(int(tty.Fd())); err != nil {
				return err
			}
			if err := os.WriteFile(value, []byte(slave.Name()), 0o644); err != nil {
				return err
			}
		case "log":
			if err := os.WriteFile(value, make([]byte, 65536), 0o644); err != nil {
				return err
			}
		default:
			return fmt.Errorf("invalid lpc device configuration %q", h.serial)
		}
	}
	return nil
}

// run boots the guest, and returns Hyperkit's exit status.
func (h *hardware) run() int {
	parts := strings.SplitN(h.firmware, ",", 4)
	content, err := os.ReadFile(parts[1])
	if err == nil && parts[0] == "kexec" {
		if len(content) < 0x206 || string(content[0x202:0x206]) != "HdrS" {
			err = errors.New("it is no bzImage")
		} else if parts[2] != "" {
			_, err = os.ReadFile(parts[2])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, parts[0]+": failed to load:", err)
		return 1
	}
	return (&standInGuest{hardware: h, cmdline: parts[3], files: map[string][]byte{}}).boot()
}

// standInGuest is what runs inside.
type standInGuest struct {
	*hardware
	cmdline string
	stack   *stack.Stack
	mu      sync.Mutex
	files   map[string][]byte
}

func (g *standInGuest) boot() int {
	// Before a guest has switched ACPI on, SIGTERM ends Hyperkit.
	button := make(chan os.Signal, 1)
	if g.acpi {
		signal.Notify(button, syscall.SIGTERM)
	}
	// A terminal that nobody has opened drops what is written: the guest is
	// patient, as kernels are with slow consoles.
	for _, stage := range []guest.Stage{guest.StageInit, guest.StageNetwork, guest.StageUp} {
		if stage == guest.StageNetwork && len(g.wires) > 0 {
			if err := g.serve(); err != nil {
				fmt.Fprintln(os.Stderr, "guest:", err)
				return 3
			}
		}
		fmt.Fprintf(g.tty, "%s\r\n", guest.Marker(stage))
	}
	for _, disk := range g.disks {
		if strings.HasPrefix(disk.Name(), "disk") {
			_, _ = disk.WriteAt([]byte("written by the guest"), 0) // the test looks for it
		}
	}
	ended := make(chan int, 1)
	go func() { ended <- g.listen() }()
	status := 0
	select {
	case <-button:
	case status = <-ended:
	}
	g.sayGoodbye()
	return status
}

// sayGoodbye waits until the last words are in the log. What lies in a terminal
// is lost when its other side ends; a real guest takes its time for that.
func (g *standInGuest) sayGoodbye() {
	const words = "powering off\r\n"
	fmt.Fprint(g.tty, words)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(2 * time.Second); time.Now().Before(limit); <-tick.C {
		if content, err := os.ReadFile(drivers.ConsoleLog); err != nil || strings.HasSuffix(string(content), words) {
			return
		}
	}
}

// listen obeys the console: some lines end the guest, with Hyperkit's status.
func (g *standInGuest) listen() int {
	for lines := bufio.NewScanner(g.tty); lines.Scan(); {
		fmt.Fprintf(g.tty, "heard: %s\r\n", lines.Text())
		switch lines.Text() {
		case "poweroff":
			return 0
		case "reset":
			return 2
		case "panic":
			return 3
		}
	}
	select {} // nobody has the terminal open
}

// addresses are the guest's own, by network.
func (g *standInGuest) addresses() []string {
	var all []string
	for word := range strings.FieldsSeq(g.cmdline) {
		if address, is := strings.CutPrefix(word, "ip="); is {
			all = append(all, address)
		}
	}
	if len(all) == 0 {
		return []string{guestAddress}
	}
	return all
}

// serve is the guest's network.
func (g *standInGuest) serve() error {
	g.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol},
	})
	var routes []tcpip.Route
	for n, address := range g.addresses() {
		id, own := tcpip.NICID(n+1), tcpip.AddrFromSlice(net.ParseIP(address).To4())
		if err := g.stack.CreateNIC(id, ethernet.New(g.wires[n].link())); err != nil {
			return errors.New(err.String())
		}
		subnet := tcpip.AddressWithPrefix{Address: own, PrefixLen: 24}
		if err := g.stack.AddProtocolAddress(id, tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: subnet}, stack.AddressProperties{}); err != nil {
			return errors.New(err.String())
		}
		routes = append(routes, tcpip.Route{Destination: subnet.Subnet(), NIC: id})
	}
	g.stack.SetRouteTable(append(routes, tcpip.Route{Destination: header.IPv4EmptySubnet, NIC: 1}))
	listener, err := gonet.ListenTCP(g.stack, tcpip.FullAddress{Port: 80}, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	go func() { _ = http.Serve(listener, http.HandlerFunc(g.answer)) }()
	echo, err := gonet.DialUDP(g.stack, &tcpip.FullAddress{Port: 7}, nil, ipv4.ProtocolNumber)
	if err != nil {
		return err
	}
	go func() {
		for packet := make([]byte, 2048); ; {
			n, from, err := echo.ReadFrom(packet)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(packet[:n], from)
		}
	}()
	return nil
}

// link carries frames between the wire and the guest's stack.
func (w wire) link() *channel.Endpoint {
	link := channel.New(256, 1514, tcpip.LinkAddress(w.mac))
	go func() {
		for pkt := link.ReadContext(context.Background()); pkt != nil; pkt = link.ReadContext(context.Background()) {
			view := pkt.ToView()
			frame := view.AsSlice()
			if _, err := w.Write(append(binary.LittleEndian.AppendUint16(nil, uint16(len(frame))), frame...)); err != nil {
				return
			}
			pkt.DecRef()
		}
	}()
	go func() {
		for size := make([]byte, 2); ; {
			if _, err := io.ReadFull(w, size); err != nil {
				return
			}
			frame := make([]byte, binary.LittleEndian.Uint16(size))
			if _, err := io.ReadFull(w, frame); err != nil {
				return
			}
			pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
			link.InjectInbound(0, pkt)
			pkt.DecRef()
		}
	}()
	return link
}

// fetch asks another machine for a file, as a program in the guest would.
func (g *standInGuest) fetch(ctx context.Context, from string) ([]byte, error) {
	host, path, _ := strings.Cut(from, "/")
	to := tcpip.FullAddress{Addr: tcpip.AddrFromSlice(net.ParseIP(host).To4()), Port: 80}
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return gonet.DialContextTCP(ctx, g.stack, to, ipv4.ProtocolNumber)
		}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/file/"+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

func (g *standInGuest) answer(w http.ResponseWriter, r *http.Request) {
	if from, is := strings.CutPrefix(r.URL.Path, "/fetch/"); is {
		content, err := g.fetch(r.Context(), from)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = w.Write(content)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	name, isFile := strings.CutPrefix(r.URL.Path, "/file/")
	switch {
	case r.URL.Path == "/memory":
		fmt.Fprint(w, g.memory-8) // the kernel's own
	case isFile && r.Method == http.MethodPut:
		g.files[filepath.Clean(name)], _ = io.ReadAll(r.Body)
	case isFile && g.files[filepath.Clean(name)] != nil:
		_, _ = w.Write(g.files[filepath.Clean(name)])
	default:
		http.Error(w, "no such file", http.StatusInternalServerError)
	}
}
