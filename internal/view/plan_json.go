package view

import (
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// PlanJSON prints a plan for programs. Sensitive values are left out.
func PlanJSON(w io.Writer, plan *planner.Plan) error {
	steps := make([]stepJSON, len(plan.Steps))
	for i, s := range plan.Steps {
		sensitive := sensitiveOf(s)
		s.Want, s.Have = redacted(s.Want, sensitive), redacted(s.Have, sensitive)
		steps[i] = stepJSON{s, s.Sentence()}
	}
	outputs := slices.Clone(plan.Outputs)
	for i, o := range outputs {
		if o.Sensitive || o.Removed { // whether a removed one was sensitive is not known any more
			outputs[i].Old, outputs[i].New = redactedValue(o.Old), redactedValue(o.New)
		}
	}
	return writeJSON(w, struct {
		FormatVersion string                 `json:"format_version"`
		Empty         bool                   `json:"empty"`
		Summary       Tally                  `json:"summary"`
		Steps         []stepJSON             `json:"steps"`
		Ops           []planner.Op           `json:"ops"`
		Volumes       []volumeJSON           `json:"volumes"`
		Outputs       []planner.OutputChange `json:"outputs"`
		Drift         []planner.Drift        `json:"drift"`
		Checks        []spec.Check           `json:"checks"`
		Refusals      []planner.Refusal      `json:"refusals"`
	}{FormatVersion, plan.Empty(), tally(plan), list(steps), list(plan.Ops), volumesJSON(plan.Volumes), list(outputs), list(plan.Drift), list(plan.Checks), list(plan.Refusals)})
}

// volumeJSON is a volume's step with what is said of it.
type volumeJSON struct {
	planner.VolumeStep
	Sentence string `json:"sentence"`
}

func volumesJSON(steps []planner.VolumeStep) []volumeJSON {
	all := make([]volumeJSON, len(steps))
	for i, s := range steps {
		all[i] = volumeJSON{s, s.Sentence()}
	}
	return all
}

// stepJSON is a step with what is said of it.
type stepJSON struct {
	planner.Step
	Sentence string `json:"sentence"`
}

func redactedValue(v any) any {
	if v == nil {
		return nil
	}
	return hidden
}

// sensitiveOf lists what must not show on either side of a step.
func sensitiveOf(s planner.Step) []string {
	var all []string
	for _, vm := range []*spec.VM{s.Want, s.Have} {
		if vm != nil {
			all = append(all, vm.Sensitive...)
		}
	}
	return all
}

// redacted is a VM with its sensitive attributes blank: texts read
// "(sensitive)", numbers are 0.
func redacted(vm *spec.VM, sensitive []string) *spec.VM {
	if vm == nil || len(sensitive) == 0 {
		return vm
	}
	out := *vm
	out.Env = maps.Clone(vm.Env)
	out.Ports, out.Shares = slices.Clone(vm.Ports), slices.Clone(vm.Shares)
	for _, path := range sensitive {
		redact(&out, path)
	}
	return &out
}

func redact(vm *spec.VM, path string) {
	if key, ok := strings.CutPrefix(path, "env."); ok {
		if _, there := vm.Env[key]; there {
			vm.Env[key] = hidden
		}
		return
	}
	for i, p := range vm.Ports {
		if p.Attribute() == path {
			vm.Ports[i].Host, vm.Ports[i].Address = 0, hidden
		}
	}
	for i, s := range vm.Shares {
		if s.Attribute() == path {
			vm.Shares[i].Host = hidden
		}
	}
	redactPlain(vm, path)
}

// redactPlain blanks an attribute that is not one of several.
func redactPlain(vm *spec.VM, path string) {
	switch path {
	case "name":
		vm.Name = hidden
	case "driver":
		vm.Driver = hidden
	case "cpus":
		vm.CPUs = 0
	case "memory":
		vm.Memory = 0
	case "cmdline":
		vm.Cmdline = hidden
	case "restart":
		vm.Restart = spec.Restart{}
	case "stop_grace_period":
		vm.StopGracePeriod = 0
	case "watch":
		vm.Watch = nil
	case "kind":
		vm.Kind = hidden
	case "command":
		vm.Command = []string{hidden}
	case "health.tcp", "health.http", "health.exec", "health.interval", "health.timeout", "health.start_period", "health.retries":
		vm.Health = spec.Health{}
	case "ready.tcp":
		vm.Ready.TCP = 0
	case "ready.http":
		vm.Ready.HTTP = hidden
	case "ready.exec":
		vm.Ready.Exec = []string{hidden}
	case "ready.log":
		vm.Ready.Log = hidden
	case "ready.timeout":
		vm.Ready.Timeout = 0
	}
}
