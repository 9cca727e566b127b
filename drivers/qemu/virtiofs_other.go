//go:build !linux

package qemu

import "syscall"

// ownUser has a process be who the caller is.
func ownUser() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
