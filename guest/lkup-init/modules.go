//go:build linux

package main

import (
	"bufio"
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// modules loads kernel modules from the running kernel's directory, each after
// what it depends on. A module that is not there is passed over: it is built
// in, or the image has no need of it.
type modules struct {
	dir    string
	needs  map[string][]string // name -> files, itself first, as modules.dep has them
	loaded map[string]bool     // by file
}

func newModules() *modules {
	m := &modules{needs: map[string][]string{}, loaded: map[string]bool{}}
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return m
	}
	release := unix.ByteSliceToString(name.Release[:])
	for _, dir := range []string{"/lib/modules/" + release, "/usr/lib/modules/" + release} {
		if f, err := os.Open(dir + "/modules.dep"); err == nil {
			m.dir = dir
			m.read(bufio.NewScanner(f))
			_ = f.Close()
			break
		}
	}
	return m
}

// read takes in lines like "a/x.ko: b/y.ko c/z.ko": x needs y, which needs z.
func (m *modules) read(lines *bufio.Scanner) {
	for lines.Scan() {
		file, needs, found := strings.Cut(lines.Text(), ":")
		if found {
			m.needs[moduleName(file)] = append([]string{file}, strings.Fields(needs)...)
		}
	}
}

// moduleName is virtio_pci for kernel/drivers/virtio/virtio-pci.ko.xz.
func moduleName(file string) string {
	base, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

func (m *modules) load(names ...string) {
	for _, name := range names {
		files := m.needs[moduleName(name)]
		for i := len(files) - 1; i >= 0; i-- {
			m.insert(files[i])
		}
	}
}

func (m *modules) insert(file string) {
	if m.loaded[file] {
		return
	}
	m.loaded[file] = true
	f, err := os.Open(path.Join(m.dir, file))
	if err != nil {
		return
	}
	defer f.Close()
	flags := 0
	if !strings.HasSuffix(file, ".ko") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	// EEXIST: the kernel has it. Others show in what then does not work.
	_ = unix.FinitModule(int(f.Fd()), "", flags)
}

// urgency says which virtio devices are looked for.
type urgency map[string]string

// The drivers of virtio devices, by their number in the virtio specification,
// section 5. What SSH needs comes first.
var (
	urgent     = urgency{"0x0001": "virtio_net"}
	everything = urgency{
		"0x0002": "virtio_blk", "0x0003": "virtio_console", "0x0004": "virtio_rng", "0x0005": "virtio_balloon",
		"0x0008": "virtio_scsi",
	}
)

// loadForDevices loads the drivers of the virtio devices that are there.
func (m *modules) loadForDevices(wanted urgency) {
	const bus = "/sys/bus/virtio/devices"
	entries, err := os.ReadDir(bus)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	for _, e := range entries {
		number, err := os.ReadFile(path.Join(bus, e.Name(), "device"))
		if err == nil {
			if driver, found := wanted[strings.TrimSpace(string(number))]; found {
				m.load(driver)
			}
		}
	}
}
