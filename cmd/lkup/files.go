package main

import (
	"fmt"
	"os"
	"syscall"

	"github.com/lkup/lkup/share"
)

// filesCommand is the hidden command that runs beside each machine of QEMU that
// has shares with protected paths.
const filesCommand = "serve-files"

// filesCmd serves shares over the connections that it inherits. It ends when
// the machine does.
type filesCmd struct {
	Served string `arg:""`
}

func (c *filesCmd) Run(*call) error {
	all, err := share.Decode(c.Served)
	if err != nil {
		return err
	}
	var conns []*os.File
	for n := range all {
		descriptor := 3 + n // the first after the standard three
		if err := syscall.SetNonblock(descriptor, true); err != nil {
			return fmt.Errorf("descriptor %d: %w", descriptor, err)
		}
		conns = append(conns, os.NewFile(uintptr(descriptor), "guest"))
	}
	return share.Serve(conns, all)
}
