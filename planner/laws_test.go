package planner_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// seeds is how many random histories the plain test looks at.
const seeds = 2000

func TestLaws(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(seeds) {
		checkLaws(t, seed, seen)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	for _, wanted := range []string{
		"create", "start", "update", "restart", "replace", "stop", "delete", "no-op",
		"live", "drift", "unproven", "unfinished", "cycle", "cut", "blocked", "unknown",
		"task", "restarted task", "condition started", "condition completed", "policy", "health",
	} {
		if seen[wanted] < seeds/400 {
			t.Errorf("%q came up %d times in %d seeds: the laws were not tested on it", wanted, seen[wanted], seeds)
		}
	}
}

func FuzzLaws(f *testing.F) {
	f.Add(uint64(1 << 40))
	f.Fuzz(func(t *testing.T, seed uint64) { checkLaws(t, seed, map[string]int{}) })
}

// checkLaws lives through a random history: several stacks, one after another,
// each apply cut off somewhere, things changed behind lkup's back. Then the
// last stack is applied in full.
func checkLaws(t *testing.T, seed uint64, seen map[string]int) {
	t.Helper()
	r := source(seed)
	w := newWorld()
	wanted := randomInput(r)
	for range 1 + r.IntN(4) {
		plan := w.plan(t, w.observe(randomTargets(r, wanted)), seen)
		if !w.execute(r, plan, r.IntN(1+6*len(plan.Ops))) {
			seen["cut"]++
		}
		for range r.IntN(3) {
			w.drift(r)
		}
		if r.IntN(2) == 0 {
			wanted = randomInput(r)
		}
	}
	if r.IntN(10) == 0 {
		unknownIsLeftAlone(t, r, w, seen)
		return
	}
	last := wanted
	last.Destroy = r.IntN(8) == 0
	w.execute(r, w.plan(t, w.observe(last), seen), -1)
	for _, law := range w.broken {
		t.Errorf("seed %d: %s", seed, law)
	}
	if again := w.plan(t, w.observe(last), seen); !again.Empty() {
		t.Errorf("seed %d: applied in full, and still: %s", seed, asJSON(t, again))
	}
	if diff := w.differs(last); diff != "" {
		t.Errorf("seed %d: the world is not what was asked for: %s", seed, diff)
	}
}

// plan checks what holds for every plan.
func (w *world) plan(t *testing.T, in planner.Input, seen map[string]int) *planner.Plan {
	t.Helper()
	plan := planner.New(in)
	seen["plans"]++
	if seen["plans"]%4 == 0 { // JSON takes its time
		checkSame(t, in, plan)
	}
	if seen["plans"]%16 == 0 {
		checkSaved(t, plan)
	}
	for at, op := range plan.Ops {
		if slices.ContainsFunc(op.After, func(b int) bool { return b >= at || b < 0 }) || !slices.IsSorted(op.After) {
			t.Errorf("op %d waits for %v", at, op.After)
		}
	}
	count(plan, seen)
	return plan
}

// checkSame proves that the same input gives the same plan, and is not changed.
func checkSame(t *testing.T, in planner.Input, plan *planner.Plan) {
	t.Helper()
	before := asJSON(t, in.Inventory)
	if one, other := asJSON(t, plan), asJSON(t, planner.New(copied(in))); one != other {
		t.Errorf("the same input gave another plan: %s", cmp.Diff(one, other))
	}
	planner.New(in)
	if after := asJSON(t, in.Inventory); before != after {
		t.Errorf("planning changed its input: %s", cmp.Diff(before, after))
	}
}

// checkSaved proves that a plan survives its file.
func checkSaved(t *testing.T, plan *planner.Plan) {
	t.Helper()
	content, err := planner.Encode(planner.Saved{Plan: *plan})
	if err != nil {
		t.Fatal(err)
	}
	saved, err := planner.Decode(content)
	if err != nil {
		t.Errorf("a plan that cannot be saved: %v", err)
	}
	if diff := cmp.Diff(asJSON(t, plan), asJSON(t, saved.Plan)); diff != "" {
		t.Error(diff)
	}
}

func count(plan *planner.Plan, seen map[string]int) {
	for _, s := range plan.Steps {
		seen[string(s.Action)]++
		for _, c := range s.Causes {
			seen[string(c.Kind)]++
		}
		if s.Blocked != "" {
			seen["blocked"]++
		}
		if s.Live {
			seen["live"]++
		}
		countLife(s, seen)
		if goesDown(s) && reaches(plan, s.Address, s.Address) {
			seen["cycle"]++
		}
	}
}

// countLife notes what is said of how a machine lives.
func countLife(s planner.Step, seen map[string]int) {
	if s.Want == nil || s.Action == planner.NoOp {
		return
	}
	for _, c := range s.Want.Conditions {
		seen["condition "+c]++
	}
	switch {
	case s.Want.Kind == spec.KindTask && s.Have != nil:
		seen["restarted task"]++
	case s.Want.Kind == spec.KindTask:
		seen["task"]++
	case s.Want.Restart.Policy != "":
		seen["policy"]++
		if s.Want.Health.TCP != 0 {
			seen["health"]++
		}
	}
}

// differs compares the world with what was asked for.
func (w *world) differs(in planner.Input) string {
	want, have := map[spec.Address]spec.VM{}, map[spec.Address]spec.VM{}
	if !in.Destroy {
		want = in.Stack.VMs
	}
	for a, m := range w.machines {
		have[a] = m.Applied
		up := m.Status.State == drivers.Running
		if m.Applied.Kind == spec.KindTask && m.Applied.Running {
			up = m.Status.State == drivers.Stopped && m.Exit != nil && *m.Exit == 0
		}
		if m.Applied.Running != up || !m.Created {
			return fmt.Sprintf("%s is %s", a, m.Status.State)
		}
		if m.Driver != in.Drivers[a] || m.Digest != in.Digests[m.Applied.Image] {
			return fmt.Sprintf("%s is run by %s from %s", a, m.Driver, m.Digest)
		}
		if w.made[a] != m.Digest {
			return fmt.Sprintf("the disk of %s is made from %s, and not from %s", a, w.made[a], m.Digest)
		}
	}
	chosen := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Host" }, cmp.Comparer(
		func(a, b int) bool { return a == b || a == 0 || b == 0 }))
	return cmp.Diff(want, have, cmpopts.EquateEmpty(), chosen, cmpopts.IgnoreFields(spec.VM{}, "Origins"))
}

func randomTargets(r *rand.Rand, in planner.Input) planner.Input {
	if r.IntN(4) == 0 {
		in.Targets = []spec.Address{pick[spec.Address](r, "vm.a", "vm.b", "vm.c"), pick[spec.Address](r, "vm.c", "vm.d")}
	}
	if r.IntN(8) == 0 {
		in.Exclude = []spec.Address{pick[spec.Address](r, "vm.a", "vm.b", "vm.c", "vm.d")}
	}
	if r.IntN(8) == 0 {
		in.Replace = []spec.Address{pick[spec.Address](r, "vm.a", "vm.b", "vm.c", "vm.d")}
	}
	in.RefreshOnly = r.IntN(12) == 0
	in.Destroy = r.IntN(12) == 0
	return in
}

// unknownIsLeftAlone loses sight of one machine: whatever is planned then, it
// is not touched, and no law is broken for the others.
func unknownIsLeftAlone(t *testing.T, r *rand.Rand, w *world, seen map[string]int) {
	t.Helper()
	for a, m := range w.machines {
		if !running(m) {
			continue
		}
		m.Status.State = drivers.Unknown
		seen["unknown"]++
		before := *m
		in := w.observe(randomInput(r))
		in.Destroy = r.IntN(3) == 0
		plan := w.plan(t, in, seen)
		w.execute(r, plan, -1)
		if diff := cmp.Diff(&before, w.machines[a]); diff != "" {
			t.Errorf("%s was touched: %s", a, diff)
		}
		if plan.Empty() {
			t.Errorf("%s is in an unknown state, and the plan finds nothing wrong", a)
		}
		break
	}
	for _, law := range w.broken {
		t.Error(law)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	content, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
