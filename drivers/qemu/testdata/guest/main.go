//go:build linux

// Command guest is process 1 of the machines that the contract suite boots.
// What it does is written at drivertest.Guest.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/lkup/lkup/guest"
)

func main() {
	for _, m := range []struct{ kind, path string }{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}} {
		try(os.MkdirAll(m.path, 0o755))
		try(unix.Mount(m.kind, m.path, m.kind, 0, ""))
	}
	load("virtio_pci", "virtio_net", "virtio_blk", "virtio_balloon", "button", "evdev", "9pnet_virtio", "9p")
	try(network())
	http.HandleFunc("/memory", memory)
	http.HandleFunc("/mount/", mount)
	http.HandleFunc("/file/", file)
	listener, err := net.Listen("tcp", ":80")
	try(err)
	go func() { try(http.Serve(listener, nil)) }()
	packets, err := net.ListenPacket("udp", ":7")
	try(err)
	go echo(packets)
	buttons, err := filepath.Glob("/dev/input/event*")
	try(err)
	for _, button := range buttons {
		go watch(button)
	}
	fmt.Println(guest.Marker(guest.StageUp))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println("heard: " + lines.Text())
	}
	select {}
}

func try(err error) {
	if err != nil {
		fmt.Println("guest:", err)
	}
}

func network() error {
	for name, address := range map[string]string{"lo": "127.0.0.1/8", "eth0": "10.0.2.15/24"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		parsed, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := netlink.AddrReplace(link, parsed); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
	}
	return nil
}

func load(names ...string) {
	found, err := filepath.Glob("/lib/modules/*/modules.dep")
	if err != nil || len(found) == 0 {
		try(fmt.Errorf("no modules: %v", err))
		return
	}
	dir := filepath.Dir(found[0])
	content, err := os.ReadFile(found[0])
	try(err)
	needs := map[string][]string{}
	for line := range strings.Lines(string(content)) {
		name, rest, _ := strings.Cut(line, ":")
		base, _, _ := strings.Cut(path.Base(name), ".ko")
		needs[strings.ReplaceAll(base, "-", "_")] = append([]string{name}, strings.Fields(rest)...)
	}
	for _, name := range names {
		files := needs[name]
		for n := len(files) - 1; n >= 0; n-- {
			insert(filepath.Join(dir, files[n]))
		}
	}
}

func insert(module string) {
	f, err := os.Open(module)
	if err != nil {
		try(err)
		return
	}
	defer f.Close()
	flags := 0
	if !strings.HasSuffix(module, ".ko") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := unix.FinitModule(int(f.Fd()), "", flags); err != nil && err != unix.EEXIST {
		try(fmt.Errorf("%s: %w", module, err))
	}
}

func memory(w http.ResponseWriter, _ *http.Request) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(w, info.Totalram*uint64(info.Unit)>>20)
}

// mounting is held while something is mounted: who asks again, because the
// answer was late, is answered once it is there.
var mounting sync.Mutex

func mount(w http.ResponseWriter, r *http.Request) {
	mounting.Lock()
	defer mounting.Unlock()
	tag := strings.TrimPrefix(r.URL.Path, "/mount/")
	err := os.MkdirAll("/"+tag, 0o755)
	if err == nil {
		err = unix.Mount(tag, "/"+tag, "9p", 0, "trans=virtio,version=9p2000.L,msize=131072")
	}
	if err != nil && err != unix.EBUSY { // mounted already: an answer was lost
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func file(w http.ResponseWriter, r *http.Request) {
	name := "/" + strings.TrimPrefix(r.URL.Path, "/file/")
	var content []byte
	var err error
	if r.Method == http.MethodPut {
		if content, err = io.ReadAll(r.Body); err == nil {
			err = os.WriteFile(name, content, 0o644)
		}
		content = nil
	} else {
		content, err = os.ReadFile(name)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(content)
}

func echo(packets net.PacketConn) {
	packet := make([]byte, 1500)
	for {
		n, from, err := packets.ReadFrom(packet)
		if err != nil {
			return
		}
		_, _ = packets.WriteTo(packet[:n], from)
	}
}

// watch powers off when the power button is pressed: event.c of the kernel's
// documentation, type EV_KEY, code KEY_POWER.
func watch(device string) {
	f, err := os.Open(device)
	if err != nil {
		return
	}
	for event := make([]byte, 24); ; {
		if _, err := io.ReadFull(f, event); err != nil {
			return
		}
		if binary.NativeEndian.Uint16(event[16:]) == 1 && binary.NativeEndian.Uint16(event[18:]) == 116 {
			unix.Sync()
			try(unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF))
		}
	}
}
