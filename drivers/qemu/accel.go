package qemu

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// facts are what the choice of an accelerator depends on.
type facts struct {
	os, arch string // of the host
	guest    string // GOARCH of the guest
	kvm      error  // why /dev/kvm does not open, nil if it does
	vmx      bool   // the processor says that it can virtualise; always true off x86
	hvf      bool   // macOS says that it can
}

// accelerator chooses, and says why where it is not the fast one.
func accelerator(f facts) (name, reason string) {
	switch {
	case f.arch != f.guest:
		return "tcg", "the guest is " + f.guest + " and this computer is " + f.arch
	case f.os == "darwin" && f.hvf:
		return "hvf", ""
	case f.os == "darwin":
		return "tcg", "this Mac has no Hypervisor.framework"
	case f.os != "linux":
		return "tcg", "lkup knows no accelerator for " + f.os
	case f.kvm != nil:
		return "tcg", "/dev/kvm cannot be used: " + f.kvm.Error()
	case !f.vmx:
		// Such a /dev/kvm opens and creates machines, whose kernels then hang.
		return "tcg", "the processor shows neither vmx nor svm, so /dev/kvm would hang guests (a nested host)"
	}
	return "kvm", ""
}

// look gathers the facts of this host.
func look(guest string) facts {
	f := facts{os: runtime.GOOS, arch: runtime.GOARCH, guest: guest, vmx: true}
	switch f.os {
	case "linux":
		f.kvm = openable("/dev/kvm")
		if f.arch == "amd64" {
			f.vmx = virtualises("/proc/cpuinfo")
		}
	case "darwin":
		value, err := exec.Command("sysctl", "-n", "kern.hv_support").Output()
		f.hvf = err == nil && strings.TrimSpace(string(value)) == "1"
	}
	return f
}

func openable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func virtualises(cpuinfo string) bool {
	content, err := os.ReadFile(cpuinfo)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(content)) {
		if name, flags, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "flags" {
			for _, flag := range strings.Fields(flags) {
				if flag == "vmx" || flag == "svm" {
					return true
				}
			}
			return false
		}
	}
	return false
}
