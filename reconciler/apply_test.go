package reconciler_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/fake"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// world is a host for one stack, on the fake driver.
type world struct {
	t      *testing.T
	paths  layout.Stack
	driver *fake.Driver
	root   string
	images map[spec.Address]spec.Image
	events []reconciler.Event
	mu     sync.Mutex
	ends   sync.Map // address -> the kernel command line of its last run
}

const digest = sources.Digest("sha256:0000000000000000000000000000000000000000000000000000000000000000")

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	l := layout.Layout{State: filepath.Join(dir, "state"), Runtime: filepath.Join(dir, "run")}
	root := filepath.Join(dir, "fake")
	return &world{
		t: t, paths: l.Stack("test", dir), root: root, driver: fake.New(root),
		images: map[spec.Address]spec.Image{"image.x": {Address: "image.x", Source: "file:x"}},
	}
}

// images gives one artifact for every image: a disk that no guest boots.
type images struct{}

func (images) Fetch(_ context.Context, _ spec.Image, d sources.Digest, _ sources.Report) (sources.Artifact, error) {
	return sources.Artifact{Digest: d, Disk: "/x", DiskFormat: "raw"}, nil
}

func (w *world) lock() *state.Store {
	w.t.Helper()
	store, err := state.Lock(w.t.Context(), w.paths, state.Owner{
		Stack: "test", Project: "/project", Holder: state.Holder{PID: os.Getpid(), Command: "test"}, Rand: rand.Reader,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return store
}

func (w *world) reconciler(store *state.Store) *reconciler.Reconciler {
	return &reconciler.Reconciler{
		Drivers: map[string]drivers.Driver{"fake": w.driver},
		Images:  images{}, Store: store, Layout: w.paths, Project: "/project", Arch: "amd64",
		Now: time.Now, Rand: rand.Reader,
		Emit: func(e reconciler.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
		},
	}
}

func (w *world) plan(stack *spec.Stack, store *state.Store) *planner.Plan {
	w.t.Helper()
	now, err := reconciler.Observe(w.t.Context(), store.State(), w.paths, map[string]drivers.Driver{"fake": w.driver})
	if err != nil {
		w.t.Fatal(err)
	}
	in := planner.Input{
		Stack: stack, Inventory: now, Outputs: store.State().Outputs,
		Digests:   map[spec.Address]sources.Digest{"image.x": digest},
		Drivers:   map[spec.Address]string{},
		Abilities: map[string][]drivers.Ability{"fake": drivers.Abilities(w.driver)},
	}
	for a := range stack.VMs {
		in.Drivers[a] = "fake"
	}
	return planner.New(in)
}

func (w *world) materials(stack *spec.Stack) reconciler.Materials {
	return reconciler.Materials{Images: w.images, Volumes: stack.Volumes}
}

// apply is what the command does: lock, observe, plan, apply.
func (w *world) apply(ctx context.Context, stack *spec.Stack) error {
	w.t.Helper()
	store := w.lock()
	defer store.Close()
	return w.reconciler(store).Apply(ctx, nil, w.plan(stack, store), w.materials(stack))
}

// settled demands that there is nothing to do, and nothing that nobody knows of.
func (w *world) settled(stack *spec.Stack) {
	w.t.Helper()
	store := w.lock()
	defer store.Close()
	if p := w.plan(stack, store); !p.Empty() {
		w.t.Fatalf("there is something left to do: %+v", p.Steps)
	}
	var known, dirs, running []string
	for _, i := range store.State().Instances {
		known = append(known, i.ID)
	}
	entries, err := os.ReadDir(w.paths.Instances())
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		dirs = append(dirs, e.Name())
	}
	processes, err := filepath.Glob(filepath.Join(w.root, "*.json"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, p := range processes {
		running = append(running, strings.TrimSuffix(filepath.Base(p), ".json"))
	}
	for _, list := range [][]string{known, dirs, running} {
		slices.Sort(list)
	}
	if !slices.Equal(known, dirs) {
		w.t.Fatalf("directories of instances %v, and records of %v", dirs, known)
	}
	for _, id := range running {
		if !slices.Contains(known, id) {
			w.t.Fatalf("%s runs, and no record knows of it", id)
		}
	}
}

func vm(name string, memory int, dependsOn ...string) spec.VM {
	v := spec.VM{
		Address: spec.Address("vm." + name), Name: name, Image: "image.x", Driver: "fake",
		CPUs: 1, Memory: memory, Running: true, Ready: spec.Ready{Timeout: 10 * time.Second},
	}
	for _, d := range dependsOn {
		v.DependsOn = append(v.DependsOn, spec.Address("vm."+d))
	}
	return v
}

func stackOf(vms ...spec.VM) *spec.Stack {
	s := &spec.Stack{Name: "test", VMs: map[spec.Address]spec.VM{}}
	for _, v := range vms {
		s.VMs[v.Address] = v
	}
	return s
}

func TestASecondApplyHasNothingToDo(t *testing.T) {
	w := newWorld(t)
	stack := stackOf(vm("db", 128), vm("web", 128, "db"))
	if err := w.apply(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	w.settled(stack)
}

func TestAFailureSkipsOnlyWhatWaitsForIt(t *testing.T) {
	w := newWorld(t)
	stack := stackOf(vm("db", 128), vm("web", 128, "db"), vm("shop", 128, "web"), vm("alone", 128))
	broken := errors.New("broken")
	w.driver.Fail = func(op string, m drivers.Machine) error {
		if op == "before start" && m.Name == "db" {
			return broken
		}
		return nil
	}
	if err := w.apply(t.Context(), stack); !errors.Is(err, broken) {
		t.Fatalf("apply returned %v", err)
	}
	ended := map[spec.Address]reconciler.EventKind{}
	for _, e := range w.events {
		switch e.Kind {
		case reconciler.OpDone, reconciler.OpFailed, reconciler.OpSkipped:
			ended[e.Address] = e.Kind
		}
	}
	want := map[spec.Address]reconciler.EventKind{
		"vm.db": reconciler.OpFailed, "vm.web": reconciler.OpSkipped, "vm.shop": reconciler.OpSkipped, "vm.alone": reconciler.OpDone,
	}
	for a, k := range want {
		if ended[a] != k {
			t.Errorf("%s ended as %q, want %q", a, ended[a], k)
		}
	}
	w.driver.Fail = nil
	if err := w.apply(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	w.settled(stack)
}

func TestAVolumeThatAStoppedMachineLostIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	v := vm("a", 128)
	v.Mounts = []spec.Mount{{Volume: "volume.data", Size: 1}}
	stack := stackOf(v)
	stack.Volumes = map[spec.Address]spec.Volume{"volume.data": {Address: "volume.data", Name: "data", Size: 1, Format: "raw"}}
	if err := w.apply(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	v.Running = false
	stack.VMs[v.Address] = v
	if err := w.apply(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	w.settled(stack)
	known, err := state.Read(w.paths)
	if err != nil {
		t.Fatal(err)
	}
	disk := reconciler.Machine(known.Instances[v.Address], w.paths, "/project").Volumes[0].Path
	if err := os.Remove(disk); err != nil {
		t.Fatal(err)
	}
	if err := w.apply(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	w.settled(stack)
	if _, err := os.Stat(disk); err != nil {
		t.Error(err)
	}
}

func TestInterruptedStartsNothingNew(t *testing.T) {
	w := newWorld(t)
	stack := stackOf(vm("db", 128), vm("web", 128, "db"))
	drain := make(chan struct{})
	w.driver.Fail = func(op string, m drivers.Machine) error {
		if op == "before start" && m.Name == "db" {
			close(drain)
		}
		return nil
	}
	store := w.lock()
	err := w.reconciler(store).Apply(t.Context(), drain, w.plan(stack, store), w.materials(stack))
	store.Close()
	if !errors.Is(err, reconciler.ErrInterrupted) {
		t.Fatalf("apply returned %v, want ErrInterrupted", err)
	}
	store = w.lock()
	if p := w.plan(stack, store); len(p.Ops) != 1 || p.Steps[p.Ops[0].Step].Address != "vm.web" {
		t.Fatalf("what is left is %+v, want vm.web alone", p.Ops)
	}
	store.Close()
	w.driver.Fail = nil
	if err := w.apply(t.Context(), stack); err != nil {
		t.Fatal(err)
	}
	w.settled(stack)
}

func TestAMachineThatEndsWhileItIsAwaitedFailsAtOnce(t *testing.T) {
	w := newWorld(t)
	v := vm("a", 128)
	v.Ready = spec.Ready{Log: "never printed", Timeout: time.Minute}
	w.driver.Fail = func(op string, m drivers.Machine) error {
		if op == "after start" {
			return os.Remove(filepath.Join(w.root, m.ID+".json"))
		}
		return nil
	}
	began := time.Now()
	err := w.apply(t.Context(), stackOf(v))
	var failed *reconciler.StartError
	if !errors.As(err, &failed) || failed.Running {
		t.Fatalf("apply returned %v, want a StartError of a machine that does not run", err)
	}
	if time.Since(began) > 30*time.Second {
		t.Fatal("it waited for the time-out")
	}
}

func TestATimeOutSaysWhatIsStillAwaited(t *testing.T) {
	w := newWorld(t)
	v := vm("a", 128)
	v.Ready = spec.Ready{Log: "never printed", Timeout: 200 * time.Millisecond}
	err := w.apply(t.Context(), stackOf(v))
	var failed *reconciler.StartError
	if !errors.As(err, &failed) {
		t.Fatalf("apply returned %v, want a StartError", err)
	}
	if len(failed.Waiting) != 1 || !strings.Contains(failed.Waiting[0], "never printed") || !failed.Running {
		t.Fatalf("got %+v", failed)
	}
	if failed.Reached != reconciler.StageSSH && failed.Reached != reconciler.StageNetwork {
		t.Errorf("it says that %q was reached, and the console says more", failed.Reached)
	}
}

// TestASilentConsoleIsACauseOnceTheTimeIsOver: who is interrupted has not given
// the guest the time to say anything.
func TestASilentConsoleIsACauseOnceTheTimeIsOver(t *testing.T) {
	for name, interrupted := range map[string]bool{"time-out": false, "interrupted": true} {
		w := newWorld(t)
		w.driver.Console = func(drivers.Machine) string { return "" }
		v := vm("a", 128)
		v.Ready = spec.Ready{Log: "never printed", Timeout: 300 * time.Millisecond}
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		if interrupted {
			v.Ready.Timeout = time.Minute
			w.driver.Fail = func(op string, _ drivers.Machine) error {
				if op == "after start" {
					time.AfterFunc(100*time.Millisecond, cancel)
				}
				return nil
			}
		}
		var failed *reconciler.StartError
		if err := w.apply(ctx, stackOf(v)); !errors.As(err, &failed) {
			t.Fatalf("%s: apply returned %v, want a StartError", name, err)
		}
		if told := strings.Contains(failed.Cause, "console=ttyS0"); told == interrupted || !failed.Running {
			t.Errorf("%s: cause %q of %+v", name, failed.Cause, failed)
		}
	}
}

func TestALogProbeHearsOnlyThisStart(t *testing.T) {
	w := newWorld(t)
	v := vm("a", 128)
	v.Ready = spec.Ready{Log: "stage up", Timeout: 10 * time.Second}
	if err := w.apply(t.Context(), stackOf(v)); err != nil {
		t.Fatal(err)
	}
	// The same line, from the first start, must not prove the second.
	v.Ready = spec.Ready{Log: "only the first start said this", Timeout: 300 * time.Millisecond}
	v.Memory = 256
	store := w.lock()
	i, _ := store.Instance(v.Address)
	store.Close()
	log := filepath.Join(w.paths.Instance(i.ID), drivers.ConsoleLog)
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, "only the first start said this")
	f.Close()
	if err := w.apply(t.Context(), stackOf(v)); err == nil {
		t.Fatal("a line of an earlier start proved this one")
	}
}

func TestAutoPortsAreKeptAndGiveWay(t *testing.T) {
	w := newWorld(t)
	v := vm("a", 128)
	v.Ports = []spec.Port{{Guest: 80, Auto: true, Address: "127.0.0.1", Protocol: "tcp"}}
	stack := stackOf(v)
	store := w.lock()
	defer store.Close()
	r := w.reconciler(store)
	choose := func(s *spec.Stack) int {
		facts, err := r.ChoosePorts(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return facts.HostPorts["vm.a"][spec.PortKey{Guest: 80, Protocol: "tcp"}]
	}
	first := choose(stack)
	if first == 0 || choose(stack) != first {
		t.Fatal("a chosen port is not kept")
	}
	other := vm("b", 128)
	other.Ports = []spec.Port{{Guest: 80, Host: first, Address: "127.0.0.1", Protocol: "tcp"}}
	if second := choose(stackOf(v, other)); second == first || second == 0 {
		t.Fatalf("port %d was named by another machine, and %d was chosen", first, second)
	}
}
