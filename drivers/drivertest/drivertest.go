// Package drivertest is the definition of a driver: the suite that each one
// passes. It uses only what package drivers promises, and never looks into a
// driver's files.
package drivertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/porttest"
)

// Harness is a driver under test, and what the suite cannot know about it.
type Harness struct {
	// Driver makes a new value of the driver, as another run of lkup would.
	Driver func(t *testing.T) drivers.Driver
	// Machine gives a machine that boots, was never created, and has an ID, a
	// nonce and a MAC of its own, no ports and no shares. Its Dir lies in dir;
	// Dir and RunDir exist.
	Machine func(t *testing.T, dir string) drivers.Machine
	// Kill ends the running machine's process without the driver's knowledge.
	Kill func(t *testing.T, m drivers.Machine, s drivers.Status)
	// Mislead makes the driver's record of the machine's process speak of
	// another one.
	Mislead func(t *testing.T, m drivers.Machine, pid int)
	// Apart is a command, not started, that creates and starts m in a process
	// of its own, and ends with status 0 if that went well.
	Apart func(t *testing.T, m drivers.Machine) *exec.Cmd
	// Up stands in the console's log once the guest has come up.
	Up string
	// Guest is nil if the driver runs no real guests.
	Guest *Guest
	// NoShares and RawOnly are what the driver refuses: directories of the host,
	// and volumes of other formats.
	NoShares, RawOnly bool
	// Holder is the pid of who holds a running machine's ports; nil if that is
	// the machine's own process.
	Holder func(t *testing.T, m drivers.Machine, s drivers.Status) int
	// Machines is how many are run at once; at least 2.
	Machines int
	// Kills is how many times Apart is killed at some instant.
	Kills int
}

// Guest is what runs in the machines, for drivers that run real ones. It obeys
// the power button, answers each line of its console that it reads with
// "heard: " and the line, and serves HTTP:
//
//	GET /memory       its RAM in MiB
//	PUT /mount/TAG    mounts the share TAG at /TAG
//	GET /file/PATH    the content of a file
//	PUT /file/PATH    writes a file
//
// An answer with a status of 500 carries the error's text.
type Guest struct {
	HTTP int // its TCP port
	Echo int // a UDP port that sends back what it gets
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	tests := map[string]func(*testing.T, *scene){
		"life/absent before create":            absentBeforeCreate,
		"life/create may be repeated":          createRepeats,
		"life/start may be repeated":           startRepeats,
		"life/stop may be repeated":            stopRepeats,
		"life/delete may be repeated":          deleteRepeats,
		"life/delete refuses while it runs":    deleteRefuses,
		"life/created again after delete":      againAfterDelete,
		"life/start obeys new settings":        startObeys,
		"life/several at once":                 severalAtOnce,
		"life/cancelled":                       cancelled,
		"life/paths with commas and spaces":    oddPaths,
		"process/outlives who started it":      outlives,
		"process/its starter is killed":        starterKilled,
		"process/killed behind its back":       killedBehind,
		"process/strangers are left alone":     strangers,
		"process/removed files are no excuse":  deletedDirectory,
		"process/says how it ended":            ended,
		"ports/status tells them":              portsTold,
		"ports/held by another process":        portHeld,
		"ports/held by another process, udp":   portHeldUDP,
		"ports/held by another machine":        portHeldByMachine,
		"ports/free after stop":                portFreed,
		"console/kept across starts":           consoleKept,
		"stop/no grace":                        stopWithoutGrace,
		"abilities/command line shows machine": commandLine,
		"volumes/kept and grown":               volumesKept,

		"life/machines are told apart":             toldApart,
		"life/other values of the driver":          otherValues,
		"life/each start is a new process":         restarts,
		"life/two processors":                      twoProcessors,
		"life/create, cancelled":                   createCancelled,
		"life/stop, until its time is over":        deadline,
		"life/directory is gone":                   directoryGone,
		"life/nothing is left":                     nothingLeft,
		"life/seed is gone":                        seedGone,
		"process/garbage in its files":             garbageInFiles,
		"process/another life's is left alone":     otherLife,
		"ports/one number, apart":                  portsOnOneNumber,
		"ports/twice in one machine":               portTwice,
		"ports/held on all addresses":              portHeldEverywhere,
		"ports/many":                               portsMany,
		"ports/of the next start":                  portsOfTheNextStart,
		"console/log is gone":                      logGone,
		"console/log cannot be written":            logUnwritable,
		"volumes/content is kept":                  volumeContent,
		"volumes/of another format":                volumeOfAnotherFormat,
		"volumes/read by several":                  volumeShared,
		"volumes/attached and taken off":           volumeAttachedLater,
		"abilities/what it says can be understood": looks,
	}
	if len(tests) < 40 {
		t.Errorf("the suite has %d cases for every driver, want at least 40", len(tests))
	}
	for _, ability := range drivers.Abilities(h.Driver(t)) {
		switch ability {
		case drivers.LivePorts:
			tests["live/ports"] = livePorts
			tests["live/port held by another process"] = livePortHeld
		case drivers.LiveMemory:
			tests["live/memory"] = liveMemory
		case drivers.LiveVolumes:
			tests["live/volumes"] = liveVolumes
		case drivers.LivePause:
			tests["pause/and resume"] = pauses
		case drivers.LiveSuspend:
			tests["suspend/and restore"] = suspends
			tests["suspend/files that are none"] = noMemory
		case drivers.Snapshots:
			tests["snapshots/files are the machine"] = filesAreMachine
		}
	}
	if _, able := h.Driver(t).(drivers.Meter); able {
		tests["usage/told"] = usageTold
	}
	if h.Guest != nil {
		tests["ports/forwarded to the guest"] = forwarded
		tests["stop/by the power button"] = powerButton
		tests["life/guest has its memory"] = memory
		if !h.NoShares {
			tests["shares/both ways"] = shares
		}
		if seen := slices.DeleteFunc(drivers.Abilities(h.Driver(t)), func(a drivers.Ability) bool { return a == drivers.LiveNetworks }); len(seen) > 0 {
			tests["live/seen by the guest"] = liveGuest
		}
	}
	if _, able := h.Driver(t).(drivers.Consoler); able {
		tests["console/attach"] = attach
	}
	for _, name := range sortedNames(tests) {
		t.Run(name, func(t *testing.T) { tests[name](t, begin(t, h)) })
	}
}

// scene is one test's driver and machine.
type scene struct {
	h   Harness
	d   drivers.Driver
	m   drivers.Machine
	ctx context.Context
	// ports are for this test alone.
	ports *porttest.Block
}

// testLimit bounds each test of the suite; a guest that is emulated on a busy
// host takes long to boot.
const testLimit = 4 * time.Minute

func begin(t *testing.T, h Harness) *scene {
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	t.Cleanup(cancel)
	s := &scene{h: h, d: h.Driver(t), ctx: ctx, ports: porttest.Of(t)}
	s.m = s.machine(t, t.TempDir())
	return s
}

// machine gives a machine that is gone when the test ends, however it ends.
func (s *scene) machine(t *testing.T, dir string) drivers.Machine {
	t.Helper()
	m := s.h.Machine(t, dir)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := s.d.Stop(ctx, m, 0); err != nil {
			t.Errorf("at the end, stop: %v", err)
		}
		if err := s.d.Delete(ctx, m); err != nil {
			t.Errorf("at the end, delete: %v", err)
		}
		if state := s.status(t, m).State; state != drivers.Absent {
			t.Errorf("at the end, it is %s, want absent", state)
		}
	})
	return m
}

func (s *scene) create(t *testing.T, m drivers.Machine) {
	t.Helper()
	if err := s.d.Create(s.ctx, m); err != nil {
		t.Fatalf("create: %v", err)
	}
}

// start creates the machine, starts it, and gives what then runs.
func (s *scene) start(t *testing.T, m drivers.Machine) drivers.Status {
	t.Helper()
	s.create(t, m)
	if err := s.d.Start(s.ctx, m); err != nil {
		t.Fatalf("start: %v\n%s", err, console(m))
	}
	return s.running(t, m)
}

func (s *scene) stop(t *testing.T, m drivers.Machine, grace time.Duration) drivers.StopReport {
	t.Helper()
	report, err := s.d.Stop(s.ctx, m, grace)
	if err != nil {
		t.Fatalf("stop: %v", err)
	}
	return report
}

func (s *scene) status(t *testing.T, m drivers.Machine) drivers.Status {
	t.Helper()
	status, err := s.d.Status(context.Background(), m)
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	return status
}

func (s *scene) running(t *testing.T, m drivers.Machine) drivers.Status {
	t.Helper()
	status := s.status(t, m)
	if status.State != drivers.Running || status.PID == 0 || status.Started.IsZero() {
		t.Fatalf("it should run: %+v", status)
	}
	return status
}

func (s *scene) is(t *testing.T, m drivers.Machine, want drivers.State) {
	t.Helper()
	status := s.status(t, m)
	if status.State != want || status.PID != 0 || !status.Started.IsZero() || len(status.Ports) != 0 {
		t.Fatalf("status %+v, want %s and no process", status, want)
	}
}

// up waits until the console's log has said n times that the guest is up.
func (s *scene) up(t *testing.T, m drivers.Machine, n int) {
	t.Helper()
	s.until(t, fmt.Sprintf("the guest comes up (%d)", n), func() bool {
		return strings.Count(console(m), s.h.Up) >= n
	}, func() string { return console(m) })
}

func console(m drivers.Machine) string {
	content, err := os.ReadFile(filepath.Join(m.Dir, drivers.ConsoleLog))
	if err != nil {
		return err.Error()
	}
	return string(content)
}

// until asks again and again, until the test's time is over.
func (s *scene) until(t *testing.T, what string, done func() bool, state func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-s.ctx.Done():
			t.Fatalf("waited in vain until %s:\n%s", what, state())
		}
	}
}
