package view

import (
	"fmt"
	"io"
	"strings"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// Plan prints a plan for people: what happens to whom, and why. What stays as
// it is is only counted.
func Plan(w io.Writer, style Style, plan *planner.Plan) error {
	p := planText{style: style}
	for _, s := range plan.Steps {
		if s.Action != planner.NoOp || s.Blocked != "" {
			p.step(s)
		}
	}
	p.outputs(plan.Outputs)
	p.summary(plan)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// planText is a plan as it is written.
type planText struct {
	style Style
	b     strings.Builder
}

// sign is how an action looks: a symbol of three columns and a colour.
type sign struct {
	symbol string
	paint  paint
}

func signOf(s planner.Step) sign {
	if s.Blocked != "" {
		return sign{"  !", red}
	}
	switch s.Action {
	case planner.Create:
		return sign{"  +", green}
	case planner.Start:
		return sign{"  >", green}
	case planner.Update, planner.Restart:
		return sign{"  ~", yellow}
	case planner.Replace:
		return sign{"-/+", red}
	case planner.Stop:
		return sign{"  .", yellow}
	case planner.Delete:
		return sign{"  -", red}
	default:
		return sign{"   ", plain}
	}
}

func (p *planText) step(s planner.Step) {
	mark := signOf(s)
	head := fmt.Sprintf("%s %s  %s", p.style.paint(mark.paint, mark.symbol), p.style.paint(bold, string(s.Address)), verbOf(s))
	p.b.WriteString(head)
	for i, c := range reasons(s) {
		between := ": "
		if i > 0 {
			between = "; "
		}
		p.b.WriteString(between + oneLine(c.Detail) + p.at(c.Origin))
	}
	p.b.WriteByte('\n')
	if s.Blocked != "" {
		fmt.Fprintf(&p.b, "      %s\n", oneLine(s.Blocked))
		return
	}
	if s.Action == planner.Create {
		fmt.Fprintf(&p.b, "      %s\n", summaryOf(*s.Want))
	}
	p.changes(s)
}

// verbOf says what happens in a word, and in brackets what that entails.
func verbOf(s planner.Step) string {
	switch {
	case s.Blocked != "":
		return "left alone"
	case s.Action == planner.Create && !s.Want.Running:
		return "create, not started"
	case s.Action == planner.Update:
		return "update, the guest is not touched"
	}
	return string(s.Action)
}

// reasons are the causes that no line of the changes tells.
func reasons(s planner.Step) []planner.Cause {
	var all []planner.Cause
	for _, c := range s.Causes {
		if c.Kind != planner.CauseChange && s.Blocked == "" {
			all = append(all, c)
		}
	}
	return all
}

// at is where something was written, behind the text it belongs to.
func (p *planText) at(pos spec.Pos) string {
	if pos.File == "" {
		return ""
	}
	return p.style.paint(dim, "  ("+Clean(pos.String())+")")
}

// changes prints a step's changes in columns.
func (p *planText) changes(s planner.Step) {
	var shown []planner.Change
	name, value := 0, 0
	for _, c := range s.Changes {
		if s.Action == planner.Create && c.Unknown && strings.HasPrefix(c.Attribute, "port[") {
			continue // the summary says "auto"
		}
		shown = append(shown, c)
		name, value = max(name, columns(c.Attribute)), max(value, columns(changeText(c)))
	}
	value = min(value, 48)
	for _, c := range shown {
		text := changeText(c)
		line := "      " + pad(c.Attribute, name) + "  " + text
		tail := p.at(c.Origin) + p.consequence(s, c)
		if tail != "" {
			line += strings.Repeat(" ", max(0, value-columns(text))) + tail
		}
		p.b.WriteString(line + "\n")
	}
}

// consequence marks the changes that decide what happens.
func (p *planText) consequence(s planner.Step, c planner.Change) string {
	if s.Action == planner.Replace && c.Effect == planner.EffectReplace {
		return p.style.paint(red, "  # cannot change in place")
	}
	return ""
}

func changeText(c planner.Change) string {
	switch {
	case c.Old == hidden && c.New == hidden:
		return hidden + " changed"
	case c.Unknown && c.Old == "":
		return unknownValue
	case c.Unknown:
		return oneLine(c.Old) + " -> " + unknownValue
	case c.Old == "":
		return oneLine(c.New) + " (added)"
	case c.New == "":
		return oneLine(c.Old) + " (removed)"
	}
	return oneLine(c.Old) + " -> " + oneLine(c.New)
}

// oneLine cleans a text that belongs into a line.
func oneLine(s string) string { return strings.ReplaceAll(Clean(s), "\n", " ") }

// summaryOf is a new machine in a line.
func summaryOf(vm spec.VM) string {
	parts := []string{
		string(vm.Image),
		maskedText(vm, "cpus", Count(vm.CPUs, "CPU")),
		maskedText(vm, "memory", memory(vm.Memory)),
	}
	for _, f := range vm.Ports {
		parts = append(parts, maskedText(vm, f.Attribute(), forward(f)))
	}
	return strings.Join(parts, ", ")
}

func maskedText(vm spec.VM, attribute, text string) string {
	for _, path := range vm.Sensitive {
		if path == attribute {
			return hidden
		}
	}
	for _, path := range vm.Unknown {
		if path == attribute {
			return attribute + " " + unknownValue
		}
	}
	return text
}

func (p *planText) outputs(all []planner.OutputChange) {
	if len(all) == 0 {
		return
	}
	if p.b.Len() > 0 {
		p.b.WriteByte('\n')
	}
	p.b.WriteString("Outputs:\n")
	width := 0
	for _, o := range all {
		width = max(width, columns(o.Name))
	}
	for _, o := range all {
		switch {
		case o.Removed:
			fmt.Fprintf(&p.b, "%s %s\n", p.style.paint(red, "  -"), o.Name)
		case o.Added:
			fmt.Fprintf(&p.b, "%s %s = %s\n", p.style.paint(green, "  +"), pad(o.Name, width), newOutput(o))
		case o.Sensitive:
			fmt.Fprintf(&p.b, "%s %s = %s changed\n", p.style.paint(yellow, "  ~"), pad(o.Name, width), hidden)
		default:
			fmt.Fprintf(&p.b, "%s %s = %s -> %s\n", p.style.paint(yellow, "  ~"), pad(o.Name, width), oldOutput(o), newOutput(o))
		}
	}
}

func newOutput(o planner.OutputChange) string {
	return outputText(OutputRow{Value: o.New, Known: o.Known, Sensitive: o.Sensitive})
}

func oldOutput(o planner.OutputChange) string {
	return outputText(OutputRow{Value: o.Old, Known: true})
}

// summary prints how many steps of each kind there are.
func (p *planText) summary(plan *planner.Plan) {
	if plan.Empty() {
		p.b.WriteString(p.nothing(plan))
		return
	}
	n := tally(plan)
	words := []string{fmt.Sprintf("%d to create", n.Create)}
	words = appendIf(words, n.Start, "to start")
	words = appendIf(words, n.Update, "to update")
	words = append(words, fmt.Sprintf("%d to restart", n.Restart), fmt.Sprintf("%d to replace", n.Replace))
	words = appendIf(words, n.Stop, "to stop")
	words = append(words, fmt.Sprintf("%d to delete", n.Delete))
	words = appendIf(words, n.Blocked, "left alone")
	words = append(words, fmt.Sprintf("%d unchanged", n.Unchanged))
	fmt.Fprintf(&p.b, "\n%s %s.\n", p.style.paint(bold, "Plan:"), strings.Join(words, ", "))
}

func appendIf(words []string, n int, what string) []string {
	if n == 0 {
		return words
	}
	return append(words, fmt.Sprintf("%d %s", n, what))
}

func (p *planText) nothing(plan *planner.Plan) string {
	what := fmt.Sprintf("All %d machines are as the stack files say.", len(plan.Steps))
	switch len(plan.Steps) {
	case 0:
		what = "There is no machine, and none is asked for."
	case 1:
		what = fmt.Sprintf("%s is as the stack files say.", plan.Steps[0].Address)
	}
	return p.style.paint(bold, "No changes.") + " " + what + "\n"
}

// Tally counts the steps of a plan.
type Tally struct {
	Create    int `json:"create"`
	Start     int `json:"start"`
	Update    int `json:"update"`
	Restart   int `json:"restart"`
	Replace   int `json:"replace"`
	Stop      int `json:"stop"`
	Delete    int `json:"delete"`
	Blocked   int `json:"blocked"`
	Unchanged int `json:"unchanged"`
}

func tally(plan *planner.Plan) Tally {
	var t Tally
	for _, s := range plan.Steps {
		if s.Blocked != "" {
			t.Blocked++
			continue
		}
		switch s.Action {
		case planner.Create:
			t.Create++
		case planner.Start:
			t.Start++
		case planner.Update:
			t.Update++
		case planner.Restart:
			t.Restart++
		case planner.Replace:
			t.Replace++
		case planner.Stop:
			t.Stop++
		case planner.Delete:
			t.Delete++
		case planner.NoOp:
			t.Unchanged++
		}
	}
	return t
}
