package spec

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// KindTask is a VM that runs to an end. It counts as ready once it has ended
// with exit status 0, and is not run again until something changes that it is
// made from.
const KindTask = "task"

// kindService is what a VM is that goes on; the default.
const kindService = "service"

// defaultTaskTimeout is how long a task may take.
const defaultTaskTimeout = "1h"

// What a dependency must be. Without a condition, it must be ready.
const (
	ConditionStarted   = "started" // its process runs
	ConditionReady     = "ready"
	ConditionCompleted = "completed" // a task that ended with exit status 0
)

// condition is one entry of depends_on = { ... }.
type condition struct {
	vm       *node
	instance Address // empty for all of the block
	text     string
	at       hcl.Range
}

// task reads what makes a VM a task.
func (i *instance) task() {
	b := i.node.block
	if v, ok := i.known(b, "kind", "kind", cty.String); ok {
		switch v.AsString() {
		case KindTask:
			i.vm.Kind = KindTask
			i.vm.Ready.Timeout, _ = parseDuration(defaultTaskTimeout)
		case kindService:
		default:
			i.wrong(b, "kind", "Unknown kind", "There is no kind %q.%s Write kind = \"task\" for a VM that runs to an end; others need no kind.", v.AsString(), didYouMean("", v.AsString(), []string{KindTask, kindService}))
		}
	}
	i.vm.Command = i.words(b, "command", "command")
	if b.args["command"] == nil {
		return
	}
	switch {
	case i.vm.Kind != KindTask:
		i.wrong(b, "command", "Command without a task", "Only a task runs a command to its end. Add: kind = \"task\"")
	case i.vm.Command != nil && (len(i.vm.Command) == 0 || i.vm.Command[0] == ""):
		i.wrong(b, "command", "Invalid command", "It names no program. Write, for example: command = [\"migrate\", \"--all\"]")
	}
}

// checkTask reports what a task cannot have.
func (i *instance) checkTask() {
	if i.vm.Kind != KindTask {
		return
	}
	if i.vm.Restart.Policy != "" {
		i.wrong(i.node.block, "restart", "Restart policy of a task", "A task is run again by the next apply if it failed, and not otherwise. Take restart out.")
	}
	if blocks := i.node.block.blocks["health"]; len(blocks) > 0 {
		i.failed = true
		i.fail(blocks[0].at, "Health of a task", "A task has ended when others look at it. Take the health block out.")
	}
	for _, s := range i.vm.Shares {
		if s.Type == ShareSync {
			i.failed = true
			i.fail(i.node.block.blocks["share"][0].at, "Copied share of a task", "A task may be over before %s is copied into it. Take out: type = %q", s.Guest, ShareSync)
		}
	}
	r := i.vm.Ready
	if r.TCP != 0 || r.HTTP != "" || len(r.Exec) > 0 || r.Log != "" || r.SSH {
		i.failed = true
		i.fail(i.node.block.blocks["ready"][0].at, "Probes of a task", "A task is done when it has ended with exit status 0, so nothing is probed. Leave only the timeout in the ready block.")
	}
}

// linkConditions reads depends_on = { db = "completed" }.
func (l *linker) linkConditions(n *node, arg *argument, pairs []hcl.KeyValuePair) {
	for _, pair := range pairs {
		t, ok := dependencyKey(pair.Key)
		if !ok {
			arg.wrong = true
			l.fail(pair.Key.Range(), "Invalid depends_on", "A key is a VM's name, or its address in quotes. Write: depends_on = { NAME = %q }", ConditionReady)
			continue
		}
		text, diags := pair.Value.Value(nil)
		if diags.HasErrors() || text.IsNull() || !text.IsKnown() || text.Type() != cty.String || !isCondition(text.AsString()) {
			arg.wrong = true
			l.fail(pair.Value.Range(), "Invalid condition", "It says what the other VM must be. Write %q, %q or, of a task, %q.", ConditionStarted, ConditionReady, ConditionCompleted)
			continue
		}
		if !l.linkTraversal(n, nil, arg, t) {
			arg.wrong = true
			continue
		}
		e := n.edges[len(n.edges)-1]
		n.conditions = append(n.conditions, condition{e.to, e.instance, text.AsString(), pair.Key.Range()})
	}
}

func isCondition(text string) bool {
	return text == ConditionStarted || text == ConditionReady || text == ConditionCompleted
}

// dependencyKey is the VM that a key names: db, "db", "vm.db" or
// "vm.web[\"blue\"]".
func dependencyKey(key hcl.Expression) (hcl.Traversal, bool) {
	name := hcl.ExprAsKeyword(key)
	if name == "" {
		v, diags := key.Value(nil)
		if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
			return nil, false
		}
		name = v.AsString()
	}
	at := key.Range()
	t, diags := hclsyntax.ParseTraversalAbs([]byte(name), at.Filename, at.Start)
	if diags.HasErrors() {
		return nil, false
	}
	if t.RootName() != "vm" || len(t) == 1 {
		t = append(hcl.Traversal{hcl.TraverseRoot{Name: "vm"}, hcl.TraverseAttr{Name: t.RootName()}}, t[1:]...)
	}
	for n := range t { // all of it is the key
		switch step := t[n].(type) {
		case hcl.TraverseRoot:
			step.SrcRange = at
			t[n] = step
		case hcl.TraverseAttr:
			step.SrcRange = at
			t[n] = step
		case hcl.TraverseIndex:
			step.SrcRange = at
			t[n] = step
		}
	}
	return t, len(t) == 2 || len(t) == 3 && isIndex(t[2])
}

func isIndex(step hcl.Traverser) bool {
	_, index := step.(hcl.TraverseIndex)
	return index
}

// conditions gives the dependencies of a block that need not be ready.
func (e *evaluator) conditions(n *node) map[Address]string {
	var all map[Address]string
	for _, c := range n.conditions {
		addresses := c.vm.instances
		if c.instance != "" {
			addresses = []Address{c.instance}
		}
		for _, a := range addresses {
			vm, there := e.stack.VMs[a]
			if !there {
				continue // reported
			}
			if c.text == ConditionCompleted && vm.Kind != KindTask {
				n.tainted = true
				e.fail(c.at, "Not a task", "%s goes on, and never completes. Write kind = \"task\" there, or wait for it to be %q.", a, ConditionReady)
				break
			}
			if c.text == ConditionReady || c.text == ConditionCompleted {
				continue // a task that is ready has completed
			}
			if all == nil {
				all = map[Address]string{}
			}
			all[a] = c.text
		}
	}
	return all
}
