package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/linuxkit/output"
)

// Exit statuses, as the documentation lists them.
const (
	exitOK          = 0
	exitFailed      = 1
	exitChanges     = 2 // plan --detailed-exitcode only
	exitUsage       = 3
	exitInvalid     = 4
	exitLocked      = 5
	exitInterrupted = 130
)

type cli struct {
	Init       initCmd        `cmd:"" help:"Write a starter stack file."`
	Validate   validateCmd    `cmd:"" help:"Check the stack files."`
	Fmt        fmtCmd         `cmd:"" help:"Rewrite stack files in the canonical style."`
	Plan       planCmd        `cmd:"" help:"Show what apply would do, and why."`
	Why        whyCmd         `cmd:"" help:"Say why a machine is to change, or since when it is as it should be."`
	Show       showCmd        `cmd:"" help:"Show a saved plan."`
	Apply      applyCmd       `cmd:"" help:"Make the machines what the stack files say."`
	Watch      watchCmd       `cmd:"" help:"Apply, and go on doing so as files change."`
	Down       downCmd        `cmd:"" help:"Stop and remove the stack's machines."`
	Stop       stopCmd        `cmd:"" help:"Stop machines, until they are started or applied again."`
	Start      startCmd       `cmd:"" help:"Start machines as they were applied."`
	Restart    restartCmd     `cmd:"" help:"Stop machines and start them again, as they were applied."`
	Pause      pauseCmd       `cmd:"" help:"Hold machines still, with all they have in memory."`
	Resume     resumeCmd      `cmd:"" help:"Let paused machines go on."`
	Ps         psCmd          `cmd:"" help:"List the stack's machines."`
	Wait       waitCmd        `cmd:"" help:"Wait until machines are ready, or stopped."`
	Top        topCmd         `cmd:"" help:"Show what machines use of this computer."`
	Inspect    inspectCmd     `cmd:"" help:"Print all that is known of a machine, as JSON."`
	Events     eventsCmd      `cmd:"" help:"Show what happened in the stack."`
	Ls         lsCmd          `cmd:"" help:"List the stacks on this computer."`
	Logs       logsCmd        `cmd:"" help:"Show what guests wrote to their consoles."`
	Run        runCmd         `cmd:"" help:"Run one machine from an image, without a stack file, and remove it."`
	Exec       execCmd        `cmd:"" help:"Run a command in a guest, or in several."`
	SSH        sshCmd         `cmd:"" name:"ssh" help:"Open a shell in a guest."`
	Cp         cpCmd          `cmd:"" help:"Copy files into a guest, or out of it."`
	Forward    portForwardCmd `cmd:"" name:"port-forward" help:"Forward ports of this computer to a guest until Ctrl-C."`
	SSHConfig  sshConfigCmd   `cmd:"" name:"ssh-config" help:"Print OpenSSH settings that reach the guests."`
	Console    consoleCmd     `cmd:"" help:"Attach to a guest's console."`
	Checkpoint checkpointCmd  `cmd:"" help:"Save the whole stack as it is at one moment, and go back to that."`
	Snapshot   snapshotCmd    `cmd:"" help:"Save one machine as it is at one moment, and go back to that."`
	Volume     volumeCmd      `cmd:"" help:"Look at volumes, back them up, restore and remove them."`
	State      stateCmd       `cmd:"" help:"Look at and mend what lkup remembers of the stack."`
	History    historyCmd     `cmd:"" help:"List what the stack was after each apply."`
	Diff       diffCmd        `cmd:"" help:"Show what differs between two generations of the stack."`
	Rollback   rollbackCmd    `cmd:"" help:"Make the machines what they were in an earlier generation."`
	Graph      graphCmd       `cmd:"" help:"Print what depends on what, for dot, Mermaid or programs."`
	Config     configCmd      `cmd:"" help:"Print the stack as lkup understands it, defaults filled in."`
	Schema     schemaCmd      `cmd:"" help:"Print the JSON schema of stack files, for editors."`
	Dev        devCmd         `cmd:"" help:"Work in a machine for this directory: shell, run, serve, test."`
	Output     outputCmd      `cmd:"" help:"Print the stack's outputs."`
	Image      imageCmd       `cmd:"" help:"Build images."`
	Doctor     doctorCmd      `cmd:"" help:"Check what this computer can do."`
	Template   templateCmd    `cmd:"" help:"Look at templates, build them, and begin new ones."`
	Supervise  superviseCmd   `cmd:"" hidden:""`
	Network    networkCmd     `cmd:"" help:"Look at the stack's networks, and at what was refused in them."`
	Switch     switchCmd      `cmd:"" hidden:""`
	Files      filesCmd       `cmd:"" hidden:"" name:"serve-files"`
	Keep       keepCmd        `cmd:"" hidden:"" name:"keep-hyperkit"`
	Completion completionCmd  `cmd:"" help:"Print a completion script for a shell."`
	Version    versionCmd     `cmd:"" help:"Print lkup's version."`
}

// grammar is what kong is to know: the one command, where the first argument is
// the name of one. To build all of them takes longer than most commands do.
func grammar(args []string) any {
	all := reflect.TypeFor[cli]()
	for n := range all.NumField() {
		field := all.Field(n)
		name := cmp.Or(field.Tag.Get("name"), strings.ToLower(field.Name))
		if len(args) > 0 && args[0] == name {
			return reflect.New(reflect.StructOf([]reflect.StructField{field})).Interface()
		}
	}
	return new(cli)
}

// exitError ends the run with a status and without another word.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// usageError is a mistake on the command line that kong cannot see.
type usageError struct{ message string }

func (e usageError) Error() string { return e.message }

// run is lkup without the process around it.
func run(args []string, host Host) int {
	exited := -1
	parser, err := kong.New(grammar(args),
		kong.Name("lkup"),
		kong.Description("Compose for virtual machines: plan, apply, and prove that they are ready."),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Writers(host.Out, host.Err),
		kong.Exit(func(status int) { exited = status }),
		kong.Vars{"version": version, "formats": strings.Join(output.Formats(), ", ")},
	)
	if err != nil {
		panic(err) // the cli struct is wrong
	}
	if answerShell(parser, host) {
		return exitOK
	}
	command, err := parser.Parse(args)
	if exited >= 0 { // --help has been printed
		return exited
	}
	if err != nil {
		view.Error(host.Err, host.errStyle(), fmt.Errorf("%w\n\nRun lkup --help to see the commands and flags", err))
		return exitUsage
	}
	tuneMemory(command.Command() == "plan")
	return host.withSignals(func(ctx context.Context, signals interrupts) error {
		call := &call{Host: host, ctx: ctx, interrupts: signals}
		if reaps(command.Selected()) {
			reap(call)
		}
		return command.Run(call)
	})
}

// call is one command's run: the host and the means to end early.
type call struct {
	Host
	ctx        context.Context // ends on the first Ctrl-C
	interrupts interrupts
}

// interrupts tells of Ctrl-C beyond the first.
type interrupts struct {
	second <-chan struct{} // closed on the second Ctrl-C
}

// withSignals runs f with a context that the first SIGINT or SIGTERM ends.
func (h Host) withSignals(f func(context.Context, interrupts) error) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	received := make(chan os.Signal, 2)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(received)
	second, finished := make(chan struct{}), make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-received:
			cancel()
		case <-finished:
			return
		}
		select {
		case <-received:
			close(second)
		case <-finished:
		}
	}()
	return h.status(ctx, f(ctx, interrupts{second: second}))
}

// status shows an error and turns it into an exit status.
func (h Host) status(ctx context.Context, err error) int {
	var (
		code    exitError
		invalid *invalidStack
		usage   usageError
		locked  *state.LockedError
		in      linuxkit.Mistakes
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &invalid):
		view.Diagnostics(h.Err, h.errStyle(), invalid.files, invalid.diags)
		return exitInvalid
	}
	if ctx.Err() != nil { // what follows is how that ended
		err = fmt.Errorf("interrupted: %w", err)
	}
	view.Error(h.Err, h.errStyle(), err)
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &in): // the template's mistakes
		return exitInvalid
	case errors.As(err, &locked):
		return exitLocked
	case ctx.Err() != nil:
		return exitInterrupted
	}
	return exitFailed
}
