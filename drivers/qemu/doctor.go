package qemu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// The most that the machines q35 and virt take.
const (
	maxCPUs   = 255
	maxShares = 24 // each is a PCI device, of 32, and there are others
)

// Check finds what QEMU cannot do.
func (d *Driver) Check(vm spec.VM) []drivers.Problem {
	var problems []drivers.Problem
	if vm.CPUs > maxCPUs {
		problems = append(problems, drivers.Problem{
			Attribute: "cpus",
			Summary:   fmt.Sprintf("QEMU's machines have at most %d processors", maxCPUs),
			Hint:      "Write a smaller number.",
		})
	}
	for _, p := range vm.Ports {
		if address, err := netip.ParseAddr(p.Address); err == nil && !address.Is4() {
			problems = append(problems, drivers.Problem{
				Attribute: p.Attribute(),
				Summary:   "QEMU forwards ports from IPv4 addresses only",
				Hint:      `Write address = "127.0.0.1", or "0.0.0.0" for all.`,
			})
		}
	}
	if len(vm.Shares) > maxShares {
		problems = append(problems, drivers.Problem{
			Attribute: vm.Shares[maxShares].Attribute(),
			Summary:   fmt.Sprintf("QEMU's machines have at most %d shares", maxShares),
			Hint:      "Share a directory that contains several of them.",
		})
	}
	return slices.Concat(problems, d.checkArch(vm), d.checkVirtiofs(vm), checkFirmware(vm))
}

// ShareWay is 9p, which every QEMU has and no other program takes part in.
func (d *Driver) ShareWay(s spec.Share) (way, why string) {
	if len(s.Protected()) > 0 {
		return spec.Share9P, "lkup serves it, for the sake of what is protected"
	}
	return spec.Share9P, ""
}

// checkArch finds that the QEMU is missing that emulates another architecture.
func (d *Driver) checkArch(vm spec.VM) []drivers.Problem {
	if vm.Arch == "" {
		return nil
	}
	program := binaryFor(vm.Arch)
	if _, err := d.settings.LookPath(program); err == nil {
		return nil
	}
	return []drivers.Problem{{
		Attribute: "arch",
		Summary:   program + " is not installed, which guests for " + vm.Arch + " run on",
		Hint:      "Type: " + installHint(program),
	}}
}

// checkFirmware finds firmware that is asked for and not there. What a disk's
// header asks for is seen when it is started.
func checkFirmware(vm spec.VM) []drivers.Problem {
	arch := cmp.Or(vm.Arch, runtime.GOARCH)
	_, found := firmware(arch)
	switch {
	case vm.Firmware == spec.FirmwareUEFI && !found:
		return []drivers.Problem{{Attribute: "firmware", Summary: "No UEFI firmware is installed", Hint: "Type: " + firmwareHint(arch)}}
	case vm.Firmware == spec.FirmwareBIOS && arch == arm64:
		return []drivers.Problem{{Attribute: "firmware", Summary: "arm64 machines have no BIOS", Hint: "They start by UEFI. Take it out."}}
	}
	return nil
}

// Diagnose looks for QEMU's programs and the accelerator.
func (d *Driver) Diagnose(ctx context.Context) []drivers.Finding {
	binary := binaryFor(runtime.GOARCH)
	findings := []drivers.Finding{
		d.diagnoseProgram(ctx, binary, drivers.Fail),
		d.diagnoseProgram(ctx, "qemu-img", drivers.Warn),
		d.diagnoseAccelerator(),
	}
	if path, err := d.settings.LookPath(binary); err == nil && runtime.GOOS == "linux" {
		findings = append(findings, diagnoseSandbox(ctx, path))
	}
	return findings
}

// oldest is the first version whose options are all that lkup uses.
const oldest = 6

func (d *Driver) diagnoseProgram(ctx context.Context, name string, missing drivers.Level) drivers.Finding {
	finding := drivers.Finding{Name: name, Level: missing, Detail: "not installed", Hint: installHint(name)}
	if name == "qemu-img" {
		finding.Detail = "not installed; images that are disks need it"
	}
	path, err := d.settings.LookPath(name)
	if err != nil {
		return finding
	}
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = append([]string{}, d.settings.Env...)
	output, err := cmd.Output()
	first, _, _ := strings.Cut(string(output), "\n")
	switch {
	case err != nil:
		finding.Detail = path + " does not run: " + err.Error()
	case version(first) < oldest:
		finding.Detail = fmt.Sprintf("%s is too old; lkup needs version %d or later", first, oldest)
	default:
		return drivers.Finding{Name: name, Level: drivers.OK, Detail: first}
	}
	return finding
}

// version is the 7 of "QEMU emulator version 7.2.22 (Debian ...)".
func version(line string) int {
	match := regexp.MustCompile(`version (\d+)\.`).FindStringSubmatch(line)
	if match == nil {
		return 0
	}
	n, err := strconv.Atoi(match[1])
	if err != nil {
		return 0
	}
	return n
}

func (d *Driver) diagnoseAccelerator() drivers.Finding {
	if d.settings.Accel != "" {
		return drivers.Finding{Name: "accelerator", Level: drivers.OK, Detail: d.settings.Accel + ", as set"}
	}
	f := look(runtime.GOARCH)
	name, reason := accelerator(f)
	if reason == "" {
		return drivers.Finding{Name: "accelerator", Level: drivers.OK, Detail: name}
	}
	finding := drivers.Finding{
		Name: "accelerator", Level: drivers.Warn,
		Detail: name + ", which emulates the processor and is slower: " + reason,
	}
	switch {
	case errors.Is(f.kvm, fs.ErrPermission):
		finding.Hint = "sudo usermod -aG kvm $USER, then log in again"
	case errors.Is(f.kvm, fs.ErrNotExist) && f.vmx:
		finding.Hint = "sudo modprobe kvm_intel || sudo modprobe kvm_amd, or switch virtualisation on in the firmware's set-up"
	}
	return finding
}

func diagnoseSandbox(ctx context.Context, program string) drivers.Finding {
	if filters(ctx, program) {
		return drivers.Finding{Name: "sandbox", Level: drivers.OK, Detail: "seccomp"}
	}
	return drivers.Finding{
		Name: "sandbox", Level: drivers.Warn,
		Detail: program + " was built without seccomp filters, so a guest that breaks out of QEMU may do what you may",
		Hint:   installHint(binaryFor(runtime.GOARCH)),
	}
}

// filters reports whether a QEMU has seccomp filters: its help lists options
// that it was built with only.
func filters(ctx context.Context, program string) bool {
	cmd := exec.CommandContext(ctx, program, "-help")
	cmd.Env = []string{}
	output, err := cmd.Output()
	return err == nil && strings.Contains(string(output), "\n-sandbox ")
}
