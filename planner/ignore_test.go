package planner_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// TestWhatIsIgnored compares what is planned, and what is recorded if anything
// is, where ignore_changes names some of what differs.
func TestWhatIsIgnored(t *testing.T) {
	digested := func(text string) spec.Secret { return spec.Secret{Digest: text} }
	health := spec.Health{TCP: 80, Interval: time.Second, Retries: 3}
	for _, tt := range []struct {
		name       string
		ignore     []string
		have, want func(*spec.VM)
		changes    []string
		kept       func(*spec.VM) // what is recorded, other than want
	}{
		{"a secret that is new", []string{"env"}, nil,
			func(v *spec.VM) {
				v.Secrets, v.Sensitive = map[string]spec.Secret{"S": digested("b")}, []string{"env.S"}
			}, nil,
			func(v *spec.VM) { v.Secrets, v.Sensitive = map[string]spec.Secret{}, []string{} }},
		{"a secret that changed", []string{"env.S"},
			func(v *spec.VM) { v.Secrets = map[string]spec.Secret{"S": digested("a")} },
			func(v *spec.VM) { v.Secrets = map[string]spec.Secret{"S": {Digest: "b", Value: "now"}} }, nil,
			func(v *spec.VM) { v.Secrets = map[string]spec.Secret{"S": {Digest: "a", Value: "now"}} }},
		{"a secret that is gone", []string{"env"},
			func(v *spec.VM) {
				v.Secrets, v.Sensitive = map[string]spec.Secret{"S": digested("a")}, []string{"env.S"}
			},
			nil, nil, nil},
		{"a secret that is gone and is not ignored", []string{"env.T"},
			func(v *spec.VM) { v.Secrets = map[string]spec.Secret{"S": digested("a")} },
			nil, []string{"env.S"}, nil},
		{"a sensitive value that is gone stays hidden", []string{"env"},
			func(v *spec.VM) { v.Env, v.Sensitive = map[string]string{"K": "x"}, []string{"env.K"} },
			nil, nil,
			func(v *spec.VM) { v.Env, v.Sensitive = map[string]string{"K": "x"}, []string{"env.K"} }},
		{"a sensitive label that is new", []string{"labels"}, nil,
			func(v *spec.VM) { v.Labels, v.Sensitive = map[string]string{"k": "x"}, []string{"labels.k"} }, nil,
			func(v *spec.VM) { v.Labels, v.Sensitive = map[string]string{}, []string{} }},
		{"a value is now sensitive", []string{"env"},
			func(v *spec.VM) { v.Env = map[string]string{"K": "x"} },
			func(v *spec.VM) { v.Env, v.Sensitive = map[string]string{"K": "x"}, []string{"env.K"} }, []string{"env.K"}, nil},
		{"one field of ready", []string{"ready.tcp"}, nil,
			func(v *spec.VM) { v.Ready.TCP, v.Ready.Timeout = 80, time.Hour }, []string{"ready.timeout"},
			func(v *spec.VM) { v.Ready.TCP = 0 }},
		{"one field of health", []string{"health.tcp"},
			func(v *spec.VM) { v.Health = health },
			func(v *spec.VM) { v.Health = health; v.Health.TCP, v.Health.Retries = 81, 4 }, []string{"health.retries"},
			func(v *spec.VM) { v.Health.TCP = 80 }},
		{"one field of a health block that is new", []string{"health.interval"}, nil,
			func(v *spec.VM) { v.Health = health }, []string{"health"}, nil},
		{"another architecture comes with the image", []string{"image"}, nil,
			func(v *spec.VM) { v.Image, v.Arch = "image.y", "arm64" }, nil,
			func(v *spec.VM) { v.Image, v.Arch = "image.x", "" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ignoring := func(changes ...func(*spec.VM)) spec.VM {
				return machine("a", func(v *spec.VM) {
					v.Driver, v.Lifecycle.IgnoreChanges = "qemu", tt.ignore
					for _, change := range changes {
						if change != nil {
							change(v)
						}
					}
				})
			}
			step := planner.New(planner.Input{
				Stack:     &spec.Stack{VMs: map[spec.Address]spec.VM{"vm.a": ignoring(tt.want)}},
				Digests:   digestsOf("image.x", "a", "image.y", "b"),
				Abilities: able,
				Inventory: planner.Inventory{"vm.a": running1(ignoring(tt.have))},
			}).Steps[0]
			var changes []string
			for _, c := range step.Changes {
				changes = append(changes, c.Attribute)
			}
			if diff := cmp.Diff(tt.changes, changes); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			if idle := len(tt.changes) == 0; idle != (step.Action == planner.NoOp) {
				t.Errorf("it leads to %s", step.Action)
			}
			if diff := cmp.Diff(ignoring(tt.want, tt.kept), *step.Want); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}
