package main

import "golang.org/x/sys/unix"

// memoryOfHost is the computer's RAM in MiB; 0 if it does not say.
func memoryOfHost() int {
	bytes, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return 0
	}
	return int(bytes >> 20)
}
