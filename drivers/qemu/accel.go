package qemu

import (
	"runtime"
)

// facts are what the choice of an accelerator depends on.
type facts struct {
	os, arch string // of the host
	guest    string // GOARCH of the guest
	kvm      error  // why /dev/kvm does not open, nil if it does
	vmx      bool   // the processor says that it can virtualise; always true off x86
	hvf      bool   // macOS says that it can
}

// look gathers the facts of this host.
func look(guest string) facts {
	f := facts{os: runtime.GOOS, arch: runtime.GOARCH, guest: guest, vmx: true}
	f.look()
	return f
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
		return "tcg", "the processor shows neither vmx nor svm, so guests would hang on /dev/kvm, as they do in some virtual machines"
	}
	return "kvm", ""
}
