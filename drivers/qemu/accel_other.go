//go:build !linux

package qemu

import "golang.org/x/sys/unix"

func (f *facts) look() {
	value, err := unix.SysctlUint32("kern.hv_support")
	f.hvf = err == nil && value == 1
}
