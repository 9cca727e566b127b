package hyperkit

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/lkup/lkup/drivers"
)

// wiring is what the arguments depend on besides the machine.
type wiring struct {
	wires int  // how many Ethernets it has; a socket that speaks vpnkit's protocol listens at each one's vpnkitName
	uefi  bool // it boots by firmware, of the name firmwareName
}

// Hyperkit splits its options at commas and knows no escape for them. So every
// file has a plain name in the machine's directory, where Hyperkit is started.
const (
	kernelName   = "kernel"   // a link
	initrdName   = "initrd"   // a link, to all initrds joined
	firmwareName = "firmware" // a link
	runName      = "run"      // a link to the directory for sockets
	ttyName      = "tty"      // says or is the console's terminal
	ringName     = "console-ring"
)

func diskName(n int) string   { return "disk" + strconv.Itoa(n) + ".img" }
func volumeName(n int) string { return "volume" + strconv.Itoa(n) } // a link

// vpnkitName is the socket of an Ethernet; its path is short so.
func vpnkitName(n int) string { return runName + "/vpnkit" + strconv.Itoa(n) }

// mark is what proves to whom a process belongs. It is the path of the file
// that Hyperkit writes its pid to, relative to the machine's directory.
func mark(m drivers.Machine) string { return m.ID + "/" + m.Nonce }

// The slots of the devices. Those between are for disks, in their order, from
// the first one up, and for further Ethernets, from the last one down.
const (
	networkSlot = 1
	rngSlot     = 2
	firstDisk   = 3
	lpcSlot     = 31
	maxDisks    = lpcSlot - firstDisk
)

func wireSlot(n int) int {
	if n == 0 {
		return networkSlot
	}
	return lpcSlot - n
}

// wiringOf is what the arguments depend on, of the machine itself.
func wiringOf(m drivers.Machine) wiring {
	w := wiring{wires: len(m.NICs), uefi: m.Boot.Kernel == ""}
	if w.wires == 0 && m.MAC != "" {
		w.wires = 1
	}
	return w
}

// args are Hyperkit's arguments for a machine. The function is pure.
func args(m drivers.Machine, w wiring) []string {
	a := []string{
		"-A", // ACPI, by which a guest hears the power button
		"-u", // the clock is UTC
		"-F", mark(m),
		"-U", uuid(m),
		"-c", strconv.Itoa(m.CPUs),
		"-m", strconv.Itoa(m.Memory) + "M",
		"-s", "0:0,hostbridge",
		"-s", fmt.Sprintf("%d,lpc", lpcSlot),
		"-l", "com1,autopty=" + ttyName + ",log=" + ringName,
		"-s", fmt.Sprintf("%d,virtio-rnd", rngSlot),
	}
	for n := range w.wires {
		a = append(a, "-s", fmt.Sprintf("%d:0,virtio-vpnkit,path=%s,uuid=%s", wireSlot(n), vpnkitName(n), uuid(m)))
	}
	slot := firstDisk
	disk := func(name string) {
		a = append(a, "-s", fmt.Sprintf("%d:0,virtio-blk,%s", slot, name))
		slot++
	}
	for n := range m.Boot.Disks {
		disk(diskName(n))
	}
	for n, v := range m.Volumes {
		name := volumeName(n)
		if v.ReadOnly {
			name += ",ro"
		}
		disk(name)
	}
	return append(a, "-f", boot(m, w))
}

// boot is the firmware that starts the guest. Only the kernel's command line
// may hold commas: it is the last part.
func boot(m drivers.Machine, w wiring) string {
	if w.uefi {
		return "bootrom," + firmwareName + ",,"
	}
	initrd := ""
	if len(m.Boot.Initrds)+len(m.Boot.Seed) > 0 {
		initrd = initrdName
	}
	return "kexec," + kernelName + "," + initrd + "," + m.Boot.Cmdline
}

// Paths of a machine.

func createdPath(m drivers.Machine) string { return filepath.Join(m.Dir, "created") }
func upPath(m drivers.Machine) string      { return filepath.Join(m.Dir, "up") }
func recordPath(m drivers.Machine) string  { return filepath.Join(m.Dir, "run.json") }
func lockPath(m drivers.Machine) string    { return filepath.Join(m.Dir, "run.lock") }
func saidPath(m drivers.Machine) string    { return filepath.Join(m.Dir, "hyperkit.log") }
func pidPath(m drivers.Machine) string     { return filepath.Join(m.Dir, m.ID, m.Nonce) }
func logPath(m drivers.Machine) string     { return filepath.Join(m.Dir, drivers.ConsoleLog) }
func joinedPath(m drivers.Machine) string  { return filepath.Join(m.Dir, "initrd.img") }

// seededPath is where the seed is joined to the initrds, until the guest runs.
func seededPath(m drivers.Machine) string { return filepath.Join(m.RunDir, "seeded.img") }
func framesPath(m drivers.Machine) string { return filepath.Join(m.RunDir, "frames") } // of the keeper
func switchPath(m drivers.Machine) string { return filepath.Join(m.RunDir, "switch") }
func vpnkitPath(m drivers.Machine, n int) string {
	return filepath.Join(m.RunDir, filepath.Base(vpnkitName(n)))
}
func consolePath(m drivers.Machine) string  { return filepath.Join(m.RunDir, "console") }
func attachedPath(m drivers.Machine) string { return filepath.Join(m.RunDir, "console.lock") }
