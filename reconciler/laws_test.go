package reconciler_test

import (
	"context"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// TestWhateverFailsTheNextApplyConverges edits random stacks and fails random
// effects, before or after they happen; then, without failures, one apply must
// bring what the last stack asks for, and leave nothing else.
func TestWhateverFailsTheNextApplyConverges(t *testing.T) {
	const seeds = 60
	seen := tally{count: map[string]int{}}
	t.Run("histories", func(t *testing.T) {
		for seed := range uint64(seeds) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				converges(t, seed, &seen)
			})
		}
	})
	for _, wanted := range []string{
		"failed apply", "interrupted", "given up", "failed task", "endless task", "crashed task", "completed task", "unrecorded end", "task left alone",
		"after a start", "after a task", "after proof", "policy", "health", "log probe",
	} {
		if seen.count[wanted] == 0 {
			t.Errorf("%q never came up in %d histories: they say nothing of it", wanted, seeds)
		}
	}
}

func FuzzConverges(f *testing.F) {
	f.Add(uint64(1 << 40))
	f.Fuzz(func(t *testing.T, seed uint64) { converges(t, seed, &tally{count: map[string]int{}}) })
}

// tally counts what came up, for histories that run side by side.
type tally struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *tally) saw(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[what]++
}

// converges lives through one random history.
func converges(t *testing.T, seed uint64, seen *tally) {
	w := newWorld(t)
	random := mathrand.New(mathrand.NewPCG(seed, 1))
	var stack *spec.Stack
	for range 4 {
		stack = randomStack(random, 21000+16*int(seed%600))
		w.applyBadly(random, stack, seen)
		w.drift(random, seen)
		w.unfinishedIsPlanned(stack, seen)
	}
	mendTasks(stack)
	w.driver.Fail = w.ordered(stack, seen, nothingFails)
	if err := w.apply(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	w.settled(stack)
	w.asWanted(stack, seen)
	nothing := stackOf()
	if err := w.apply(t.Context(), nothing); err != nil {
		t.Fatal(err)
	}
	w.settled(nothing)
}

func nothingFails(string, drivers.Machine) error { return nil }

// applyBadly applies a stack while effects fail; at times it is also
// interrupted, or its context ends.
func (w *world) applyBadly(random *mathrand.Rand, stack *spec.Stack, seen *tally) {
	w.t.Helper()
	ctx, giveUp := context.WithCancel(w.t.Context())
	defer giveUp()
	drain := make(chan struct{})
	end := func() {}
	switch random.IntN(8) {
	case 0:
		end = sync.OnceFunc(func() { seen.saw("interrupted"); close(drain) })
	case 1:
		end = sync.OnceFunc(func() { seen.saw("given up"); giveUp() })
	}
	fail := failing(random.Uint64(), random.IntN(12), end)
	w.driver.Fail = w.ordered(stack, seen, fail)
	store := w.lock()
	err := w.reconciler(store).Apply(ctx, drain, w.plan(stack, store), w.materials(stack))
	store.Close()
	if err != nil { // that is the point
		seen.saw("failed apply")
	}
	if status, told := reconciler.FailedTask(err); told {
		seen.saw("failed task")
		if status != 3 {
			w.t.Errorf("a task that exits with 3 failed with %d", status)
		}
	}
	if err != nil && strings.Contains(err.Error(), "did not end within") {
		seen.saw("endless task")
	}
}

// failing fails one effect in six, and calls end at one of them.
func failing(seed uint64, at int, end func()) func(string, drivers.Machine) error {
	var mu sync.Mutex
	random := mathrand.New(mathrand.NewPCG(seed, 2))
	return func(op string, m drivers.Machine) error {
		mu.Lock()
		defer mu.Unlock()
		if at--; at == 0 {
			end()
		}
		if random.IntN(6) == 0 {
			return fmt.Errorf("injected %s of %s", op, m.Name)
		}
		return nil
	}
}

// ordered puts a law before what fails: no machine starts before those that it
// depends on are what it waits for.
func (w *world) ordered(stack *spec.Stack, seen *tally, fail func(string, drivers.Machine) error) func(string, drivers.Machine) error {
	var begun sync.Map
	return func(op string, m drivers.Machine) error {
		switch op {
		case "before start":
			v := stack.VMs[m.Address]
			for _, dep := range v.DependsOn {
				_, started := begun.Load(dep)
				if d := stack.VMs[dep]; d.Running {
					w.met(m.Address, d, v.Conditions[dep], started, seen)
				}
			}
		case "after start":
			begun.Store(m.Address, true)
		}
		err := fail(op, m)
		if op == "before start" && err == nil {
			w.ends.Store(m.Address, m.Boot.Cmdline)
		}
		return err
	}
}

// met demands that a dependency is what is waited for, as the host shows it.
func (w *world) met(who spec.Address, d spec.VM, condition string, begun bool, seen *tally) {
	known, err := state.Read(w.paths)
	if err != nil {
		w.t.Error(err)
		return
	}
	i, found := known.Instances[d.Address]
	status := drivers.Status{State: drivers.Absent}
	if found {
		if status, err = w.driver.Status(context.Background(), reconciler.Machine(i, w.paths, "/project")); err != nil {
			w.t.Error(err)
			return
		}
	}
	now := reconciler.Observed(i, status)
	completed := d.Kind == spec.KindTask && status.State == drivers.Stopped && w.succeeded(d.Address)
	var met bool
	switch {
	case condition == spec.ConditionStarted:
		seen.saw("after a start")
		met = begun || completed || status.State == drivers.Running
	case d.Kind == spec.KindTask:
		seen.saw("after a task")
		met = completed
	default:
		seen.saw("after proof")
		met = status.State == drivers.Running && now.Proven
	}
	if !met {
		w.t.Errorf("%s started before %s was %q: it is %s", who, d.Address, condition, status.State)
	}
}

// succeeded reports whether a machine's last run was a task that succeeds, be
// it that no lkup lived to see it.
func (w *world) succeeded(a spec.Address) bool {
	cmdline, ran := w.ends.Load(a)
	return ran && strings.Contains(cmdline.(string), taskSucceeds)
}

// unfinishedIsPlanned demands that a task that has ended otherwise than it
// should is run again by the next plan.
func (w *world) unfinishedIsPlanned(stack *spec.Stack, seen *tally) {
	w.t.Helper()
	store := w.lock()
	defer store.Close()
	for _, step := range w.plan(stack, store).Steps {
		v, wanted := stack.VMs[step.Address]
		if !wanted || v.Kind != spec.KindTask || !v.Running || step.Action != planner.NoOp && step.Action != planner.Update || step.Blocked != "" {
			continue
		}
		seen.saw("task left alone")
		if !w.succeeded(step.Address) {
			w.t.Errorf("%s has not succeeded, and is left alone", step.Address)
		}
	}
}

// asWanted demands of the host what a stack asks for: who runs, who has
// completed, and with which ports.
func (w *world) asWanted(stack *spec.Stack, seen *tally) {
	w.t.Helper()
	known, err := state.Read(w.paths)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(known.Instances) != len(stack.VMs) {
		w.t.Errorf("there are %d instances of %d machines", len(known.Instances), len(stack.VMs))
	}
	for a, v := range stack.VMs {
		i := known.Instances[a]
		status, err := w.driver.Status(w.t.Context(), reconciler.Machine(i, w.paths, "/project"))
		if err != nil {
			w.t.Fatal(err)
		}
		want := drivers.Stopped
		switch {
		case v.Running && v.Kind == spec.KindTask:
			seen.saw("completed task")
			if i.Exit == nil {
				seen.saw("unrecorded end")
			}
			if !w.succeeded(a) {
				w.t.Errorf("%s is a task that has not succeeded: %+v", a, i.Exit)
			}
		case v.Running:
			want = drivers.Running
			count(v, seen)
		}
		if status.State != want {
			w.t.Errorf("%s is %s, want %s", a, status.State, want)
		}
		if want == drivers.Running && len(status.Ports) != len(v.Ports) {
			w.t.Errorf("%s holds %v, want %v", a, status.Ports, v.Ports)
		}
	}
}

// count notes how a machine is proved and kept alive.
func count(v spec.VM, seen *tally) {
	for what, is := range map[string]bool{"policy": v.Restart.Policy != "", "health": v.Health.TCP != 0, "log probe": v.Ready.Log != ""} {
		if is {
			seen.saw(what)
		}
	}
}

// drift changes machines behind lkup's back.
func (w *world) drift(random *mathrand.Rand, seen *tally) {
	w.t.Helper()
	w.driver.Fail = nil
	store := w.lock()
	defer store.Close()
	known := store.State().Instances
	for _, a := range slices.Sorted(maps.Keys(known)) {
		i := known[a]
		m := reconciler.Machine(i, w.paths, "/project")
		status, err := w.driver.Status(w.t.Context(), m)
		if err != nil {
			w.t.Fatal(err)
		}
		roll := random.IntN(4)
		switch {
		case i.Exit != nil && roll == 0: // as if lkup had been killed before it recorded the end
			i.Exit = nil
			err = store.Put(i)
		case status.State != drivers.Running:
		case roll == 0:
			m.Ports = nil
			err = w.driver.Forward(w.t.Context(), m)
		case roll == 1:
			m.Memory = 64
			err = w.driver.Balloon(w.t.Context(), m)
		case roll == 2:
			if i.Applied.Kind == spec.KindTask {
				seen.saw("crashed task")
			}
			err = w.driver.Kill(m)
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
}
