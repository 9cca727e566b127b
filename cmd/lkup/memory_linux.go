package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// roomyHeap lets the heap begin large, in pages of 2 MiB where the system has
// them: in a virtual machine each page of 4 KiB that is touched for the first
// time costs more than what a plan writes into it. The room is garbage at once;
// after the next collection it is there for what comes.
func roomyHeap() {
	const room, page = 56 << 20, 2 << 20
	b := make([]byte, room)
	start := uintptr(page-1) & -uintptr(unsafe.Pointer(&b[0]))
	_ = unix.Madvise(b[start:start+room-page], unix.MADV_HUGEPAGE) // or not: nothing depends on it
}
