package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lkup/lkup/devenv"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/view"
)

// exitNoProgram is how shells end where there is no such program; what a
// program ends with that finds no module of its own is exitNoModule.
const (
	exitNoProgram = 127
	exitNoModule  = 1
)

// lacked is a sentence about the tool that a command failed for want of, and
// what to type to have it. It is empty if it failed for another reason.
func (w *workplace) lacked(ctx context.Context, conn *ssh.Conn, dir string, command []string, status int) string {
	tools := devenv.Tools(command)
	if status == exitNoModule && len(tools) < 2 || status != exitNoModule && status != exitNoProgram {
		return ""
	}
	for _, tool := range tools {
		if there, _, err := conn.Run(ctx, devenv.In(dir, tool.There())); err == nil && there != 0 {
			return fmt.Sprintf("%s has no %s; %s", w.env.Address, view.Clean(tool.Name), w.toHave(tool))
		}
	}
	return ""
}

// tellLacked writes that sentence, if there is one.
func (w *workplace) tellLacked(call *call, conn *ssh.Conn, dir string, command []string, status int, to io.Writer) {
	if lacked := w.lacked(call.ctx, conn, dir, command, status); lacked != "" {
		fmt.Fprintln(to, lacked)
	}
}

// toHave says what to type to have a tool.
func (w *workplace) toHave(tool devenv.Tool) string {
	block := "its devenv block"
	if _, assumed := w.project.files.(withFile); assumed {
		block = "the devenv block that lkup dev init writes"
	}
	if len(tool.Packages) == 0 {
		return "add what installs it to setup of " + block + `: setup = ["..."]`
	}
	names := slices.Clone(tool.Packages)
	for i, name := range names {
		names[i] = strconv.Quote(name)
	}
	return fmt.Sprintf("add to packages of %s: %s; then type: lkup dev up", block, strings.Join(names, ", "))
}
