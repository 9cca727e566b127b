package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

type historyCmd struct {
	dirFlag
	lockFlags
	JSON  bool `name:"json" help:"Print JSON."`
	Prune int  `name:"prune" placeholder:"N" default:"-1" help:"Forget all but the newest N generations."`
}

func (c *historyCmd) Run(call *call) error {
	paths, now, err := known(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	if c.Prune >= 0 && len(now.Instances)+len(now.Volumes) == 0 {
		return c.pruneAfterDown(call, paths, now)
	}
	if c.Prune >= 0 {
		return change(call, c.dirFlag, c.lockFlags, "history --prune", func(store *state.Store, _ layout.Stack) error {
			n, err := store.PruneGenerations(c.Prune)
			fmt.Fprintf(call.Out, "Forgot %s.\n", view.Count(n, "generation"))
			return err
		})
	}
	all, err := state.Generations(paths)
	if err != nil {
		return err
	}
	rows := make([]view.HistoryRow, len(all))
	for n, g := range all {
		rows[n] = view.HistoryRow{Number: g.Number, Time: g.Time, Command: g.Command, Machines: len(g.Members), Summary: g.Summary}
	}
	if c.JSON {
		return view.HistoryJSON(call.Out, rows)
	}
	return view.History(call.Out, call.outStyle(), rows)
}

// pruneAfterDown forgets generations of a stack of which nothing else is left,
// and leaves no state behind.
func (c *historyCmd) pruneAfterDown(call *call, paths layout.Stack, now state.State) error {
	store, err := lockStack(call, paths, now.Stack, now.Project, "history --prune", c.lockFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	n, err := store.PruneGenerations(c.Prune)
	if err != nil {
		return err
	}
	fmt.Fprintf(call.Out, "Forgot %s.\n", view.Count(n, "generation"))
	return store.Remove()
}

// known finds the stack of a directory by its state, or, after down, by its
// stack files.
func known(host Host, flags dirFlag) (layout.Stack, state.State, error) {
	paths, now, err := applied(host, flags)
	if err == nil {
		return paths, now, nil
	}
	p, broken := openProject(host, stackFlags{dirFlag: flags})
	if broken != nil {
		return paths, now, errors.Join(err, broken)
	}
	defer p.close()
	if generations, unread := state.Generations(p.paths); unread != nil || len(generations) == 0 {
		return paths, now, err
	}
	return p.paths, state.State{Stack: p.stack.Name, Project: p.dir}, nil
}

type diffCmd struct {
	dirFlag
	JSON bool `name:"json" help:"Print JSON, as lkup plan --json does."`
	From int  `arg:"" help:"The number of a generation; lkup history lists them."`
	To   int  `arg:"" help:"The number of another."`
}

// Run shows the plan that would lead from one generation to the other, if the
// one were all there is.
func (c *diffCmd) Run(call *call) error {
	paths, _, err := known(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	from, err := state.ReadGeneration(paths, c.From)
	if err != nil {
		return err
	}
	to, err := state.ReadGeneration(paths, c.To)
	if err != nil {
		return err
	}
	input := generationInput(call.Host, to)
	input.Outputs, input.Inventory, input.Volumes = from.Outputs, planner.Inventory{}, unsized(from.Volumes)
	for a, m := range from.Members {
		i := planner.Instance{Address: a, Applied: m.VM, Digest: m.Digest, Driver: m.Driver, Created: true, Proven: true}
		i.Status.State = drivers.Stopped
		if m.VM.Running {
			i.Status.State = drivers.Running
			for _, p := range m.VM.Ports {
				i.Status.Ports = append(i.Status.Ports, drivers.Port{Address: p.Address, Host: p.Host, Guest: p.Guest, Protocol: p.Protocol})
			}
		}
		input.Inventory[a] = i
	}
	plan := planner.New(input)
	if c.JSON {
		return view.PlanJSON(call.Out, plan)
	}
	if plan.Empty() {
		fmt.Fprintf(call.Out, "Generations %d and %d are the same.\n", c.From, c.To)
		return nil
	}
	fmt.Fprintf(call.Out, "From generation %d to %d:\n\n", c.From, c.To)
	return view.Plan(call.Out, call.outStyle(), plan)
}

// generationInput asks for what a generation was.
func generationInput(host Host, g state.Generation) planner.Input {
	digests, chosen, _ := g.Digests()
	return planner.Input{Stack: g.Stack(""), Digests: digests, Drivers: chosen, Abilities: abilities(host)}
}

type rollbackCmd struct {
	stackFlags
	applyFlags
	MaxEffect planner.Effect `name:"max-effect" placeholder:"EFFECT" enum:",live,restart,replace" default:"" help:"Refuse a plan that goes further: live, restart or replace."`
	Number    int            `arg:"" help:"The number of a generation; lkup history lists them."`
}

// Run needs no stack file, unless the generation has secrets, whose values are
// kept nowhere.
func (c *rollbackCmd) Run(call *call) error {
	paths, now, err := known(call.Host, c.dirFlag)
	if err != nil {
		return err
	}
	g, err := state.ReadGeneration(paths, c.Number)
	if err != nil {
		return err
	}
	store, err := lockStack(call, paths, now.Stack, now.Project, fmt.Sprintf("rollback %d", c.Number), c.lockFlags)
	if err != nil {
		return err
	}
	defer store.Close()
	now = store.State()
	input := generationInput(call.Host, g)
	if err := fillSecrets(call, c.stackFlags, fmt.Sprintf("generation %d", c.Number), input.Stack, now); err != nil {
		return err
	}
	if input.Inventory, err = reconciler.Observe(call.ctx, now, paths, allDrivers(call.Host)); err != nil {
		return err
	}
	input.Outputs, input.Volumes = now.Outputs, volumeSizes(paths, now)
	images, err := newImageSources(call.Host, now.Project)
	if err != nil {
		return err
	}
	_, _, recipes := g.Digests()
	err = c.execute(call, execution{
		reconciler: newReconciler(call.Host, paths, now.Project, images, store),
		plan:       planner.New(input),
		with:       reconciler.Materials{Images: input.Stack.Images, Volumes: input.Stack.Volumes, Recipes: recipes},
		outputs:    input.Stack.Outputs,
		choice:     choiceFlags{MaxEffect: c.MaxEffect},
		command:    fmt.Sprintf("rollback %d", c.Number),
		flags:      c.stackFlags,
	})
	if err == nil && !c.JSON {
		fmt.Fprintf(call.Err, "\nThe machines are as in generation %d. The stack files are not changed: the next lkup apply follows them again.\n", c.Number)
	}
	return err
}

// fillSecrets hands the secrets of now to machines that had some then. what
// names where the stack is from.
func fillSecrets(call *call, flags stackFlags, what string, stack *spec.Stack, now state.State) error {
	if !slices.ContainsFunc(stack.Addresses(), func(a spec.Address) bool { return len(stack.VMs[a].Secrets) > 0 }) {
		return nil
	}
	p, err := openProject(call.Host, flags)
	if err != nil {
		return fmt.Errorf("%s has secrets, whose values only the stack files lead to: %w", what, err)
	}
	defer p.close()
	if err := p.fetchSecrets(call.ctx); err != nil {
		return err
	}
	for a, vm := range stack.VMs {
		for name := range vm.Secrets {
			secret, found := p.stack.VMs[a].Secrets[name]
			switch {
			case !found && vm.Lifecycle.Ignores("env."+name): // taken out, and kept until it is started anew
				delete(vm.Secrets, name)
				continue
			case !found:
				return fmt.Errorf("%s hands %s the secret env.%s, and the stack files no longer do, so its value is not known", what, a, name)
			}
			vm.Secrets[name] = secret
		}
	}
	stack.Seal(now.Lineage)
	return nil
}
