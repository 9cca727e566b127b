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
	p.drift(plan.Drift)
	for _, s := range plan.Steps {
		if s.Action != planner.NoOp || s.Blocked != "" {
			p.step(s)
		}
	}
	for _, v := range plan.Volumes {
		p.volume(v)
	}
	p.outputs(plan.Outputs)
	p.refusals(plan.Refusals)
	p.summary(plan)
	p.checks(plan.Checks)
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
	case planner.Create, planner.Import:
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
	case planner.Forget:
		return sign{"  x", yellow}
	default:
		return sign{"   ", plain}
	}
}

// drift prints what was changed behind lkup's back, before what mends it.
func (p *planText) drift(all []planner.Drift) {
	if len(all) == 0 {
		return
	}
	p.b.WriteString(p.style.paint(bold, "Drift") + ", changed behind lkup's back:\n")
	width := 0
	for _, d := range all {
		width = max(width, columns(string(d.Address)))
	}
	for _, d := range all {
		fmt.Fprintf(&p.b, "  %s  %s\n", pad(string(d.Address), width), oneLine(d.Detail))
	}
	p.b.WriteByte('\n')
}

func (p *planText) refusals(all []planner.Refusal) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(&p.b, "\n%s\n", p.style.paint(red, "Nothing of this may be done:"))
	for _, r := range all {
		fmt.Fprintf(&p.b, "  %s: %s\n", r.Address, oneLine(r.Detail))
	}
}

// checks prints those that fail.
func (p *planText) checks(all []spec.Check) {
	for _, c := range all {
		if c.Known && !c.Passed {
			fmt.Fprintf(&p.b, "\n%s %s does not hold%s: %s\n", p.style.paint(yellow, "Warning:"), "check "+c.Name, p.at(c.Origin), oneLine(c.Message))
		}
	}
}

func (p *planText) step(s planner.Step) {
	mark := signOf(s)
	fmt.Fprintf(&p.b, "%s %s  %s\n", p.style.paint(mark.paint, mark.symbol), p.style.paint(bold, string(s.Address)), verbOf(s))
	if s.Blocked != "" {
		fmt.Fprintf(&p.b, "      %s\n", oneLine(s.Blocked))
		return
	}
	if s.Action == planner.Create {
		fmt.Fprintf(&p.b, "      %s\n", summaryOf(*s.Want))
	}
	p.changes(s)
	fmt.Fprintf(&p.b, "      %s\n", p.style.paint(dim, oneLine(s.Sentence())))
}

// volume prints what happens to a volume.
func (p *planText) volume(v planner.VolumeStep) {
	mark := signOf(planner.Step{Action: v.Action})
	verb := string(v.Action)
	if v.Size > 0 {
		verb += ", " + memory(v.Size)
	}
	fmt.Fprintf(&p.b, "%s %s  %s\n", p.style.paint(mark.paint, mark.symbol), p.style.paint(bold, string(v.Address)), verb)
	fmt.Fprintf(&p.b, "      %s\n", p.style.paint(dim, oneLine(v.Sentence())))
}

// verbOf says what happens in a word, and in brackets what that entails.
func verbOf(s planner.Step) string {
	switch {
	case s.Blocked != "":
		return "left alone"
	case s.Action == planner.Create && !s.Want.Running:
		return "create, not started"
	case s.Action == planner.Update && s.Live:
		return "update live"
	case s.Action == planner.Update:
		return "update, the guest is not touched"
	case s.Action == planner.Replace:
		return "replace, what is on its own disk is lost"
	}
	return string(s.Action)
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
	switch {
	case s.Action == planner.Replace && c.Effect == planner.EffectReplace:
		return p.style.paint(red, "  # cannot change in place")
	case s.Action == planner.Restart && c.Why != "":
		return p.style.paint(yellow, "  # not live: "+oneLine(c.Why))
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
	if vm.Kind == spec.KindTask {
		parts = append(parts, strings.TrimSpace("task "+oneLine(maskedText(vm, "command", strings.Join(vm.Command, " ")))))
	}
	for _, n := range vm.Networks {
		parts = append(parts, fmt.Sprintf("%s in %s", n.Address, n.Network))
	}
	for _, f := range vm.Ports {
		parts = append(parts, maskedText(vm, f.Attribute(), forward(f)))
	}
	for _, s := range vm.Shares {
		text := s.Guest + " by " + s.Way()
		if s.Why != "" {
			text += " (" + s.Why + ")"
		}
		parts = append(parts, maskedText(vm, s.Attribute(), text))
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
	fmt.Fprintf(&p.b, "\n%s %s.\n", p.style.paint(bold, "Plan:"), Summary(plan))
}

// Summary counts the steps of a plan in words.
func Summary(plan *planner.Plan) string {
	n := tally(plan)
	var words []string
	words = appendIf(words, n.Create, "to create")
	words = appendIf(words, n.Start, "to start")
	words = appendIf(words, n.Stop, "to stop")
	words = appendIf(words, n.Delete, "to delete")
	words = appendIf(words, n.Forget, "to forget")
	words = appendIf(words, n.Update, "to record")
	words = append(words, fmt.Sprintf("%d live", n.Live), fmt.Sprintf("%d restart", n.Restart), fmt.Sprintf("%d replace", n.Replace))
	words = appendIf(words, n.Blocked, "left alone")
	words = append(words, fmt.Sprintf("%d unchanged", n.Unchanged))
	return strings.Join(words, ", ")
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
	Update    int `json:"update"` // only the record changes
	Live      int `json:"live"`   // changed in place
	Restart   int `json:"restart"`
	Replace   int `json:"replace"`
	Stop      int `json:"stop"`
	Delete    int `json:"delete"`
	Forget    int `json:"forget"`
	Blocked   int `json:"blocked"`
	Unchanged int `json:"unchanged"`
}

func tally(plan *planner.Plan) Tally {
	var t Tally
	for _, s := range plan.Steps {
		*t.of(s)++
	}
	return t
}

func (t *Tally) of(s planner.Step) *int {
	switch {
	case s.Blocked != "":
		return &t.Blocked
	case s.Action == planner.Update && s.Live:
		return &t.Live
	}
	switch s.Action {
	case planner.Create:
		return &t.Create
	case planner.Start:
		return &t.Start
	case planner.Update:
		return &t.Update
	case planner.Restart:
		return &t.Restart
	case planner.Replace:
		return &t.Replace
	case planner.Stop:
		return &t.Stop
	case planner.Delete:
		return &t.Delete
	case planner.Forget:
		return &t.Forget
	default:
		return &t.Unchanged
	}
}
