package main

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/view"
)

type cpCmd struct {
	dirFlag
	Recursive bool   `short:"r" name:"recursive" hidden:"" help:"Taken out of habit: directories are always copied whole."`
	From      string `arg:"" predictor:"file" help:"What to copy: VM:PATH, or a path here. Of a directory, DIR/. is what is in it."`
	To        string `arg:"" predictor:"file" help:"Where to: a path here, or VM:PATH. An existing directory takes it in."`
}

// Run copies between a guest and here.
func (c *cpCmd) Run(call *call) error {
	fromVM, from, inGuest := guestPath(c.From)
	toVM, to, intoGuest := guestPath(c.To)
	switch {
	case inGuest && intoGuest:
		return usageError{"lkup cp copies between a guest and here; from guest to guest, copy twice"}
	case !inGuest && !intoGuest:
		return usageError{"one of the two must be in a guest: write VM:PATH, as in lkup cp web:/etc/hosts ."}
	}
	r, err := reach(call.Host, c.dirFlag, fromVM+toVM)
	if err != nil {
		return err
	}
	conn, err := dial(call, r)
	if err != nil {
		return err
	}
	defer conn.Close()
	copier, err := conn.Copier(call.ctx)
	if err != nil {
		return fmt.Errorf("copy with %s: %w", r.instance.Address, err)
	}
	defer copier.Close()
	copying := view.Copying(call.Err, call.errStyle(), call.Now)
	copier.Report = copying.Report
	begun := call.Now()
	var done ssh.Copied
	if inGuest {
		done, err = copier.Pull(from, to)
	} else {
		done, err = copier.Push(from, to)
	}
	copying.Close()
	if call.ctx.Err() != nil {
		return fmt.Errorf("interrupted after %s; what was copied stays", view.Count(done.Files, "file"))
	}
	if err != nil {
		return fmt.Errorf("copy %s to %s: %w", c.From, c.To, err)
	}
	return c.conclude(call, done, call.Now().Sub(begun))
}

func (c *cpCmd) conclude(call *call, done ssh.Copied, took time.Duration) error {
	view.CopyDone(call.Err, done.Files, done.Bytes, took, done.LeftOut)
	if len(done.LeftOut) > 0 {
		return exitError(exitFailed)
	}
	return nil
}

// guestPath takes VM:PATH apart. A path of the guest that is not absolute
// begins in its root's home, /root. What has a slash before its first colon is
// a path of the host, and so is what has none.
func guestPath(arg string) (vm, name string, inGuest bool) {
	at := colonAfterVM(arg)
	if at <= 0 || strings.Contains(arg[:at], "/") && !strings.Contains(arg[:at], "[") || strings.HasPrefix(arg, ".") {
		return "", arg, false
	}
	name = arg[at+1:]
	if !path.IsAbs(name) {
		name = strings.TrimPrefix(name, "~/")
		keep := name == "" || strings.HasSuffix(name, "/")
		if name = path.Join("/root", name); keep {
			name += "/"
		}
	}
	return arg[:at], name, true
}

// colonAfterVM finds the colon that ends a VM's name; a key of for_each may
// hold others.
func colonAfterVM(arg string) int {
	quoted := false
	for at, r := range arg {
		switch {
		case r == '"':
			quoted = !quoted
		case r == ':' && !quoted:
			return at
		}
	}
	return -1
}
