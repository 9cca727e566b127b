package spec

import (
	"io/fs"
	"maps"

	"github.com/hashicorp/hcl/v2"
)

// Inputs are what an evaluation may depend on besides the files.
type Inputs struct {
	// Files names the stack files to read, at the root of the project; empty
	// for all of them.
	Files []string
	// DefaultName is the stack's name when no stack block gives one: the
	// base name of the project's directory.
	DefaultName string
	// Version is lkup's own, for stack.required_version.
	Version string
	// Drivers are the names that vm.driver may have besides "auto".
	Drivers []string
	// Builtins are the names that template.builtin may have.
	Builtins []string
	// UserTemplates are the names of the user's own templates. A template's
	// name means one of the project first, then one of these, then a builtin.
	UserTemplates []string
	// Arch is this computer's architecture, as Go names it.
	Arch string
	// Sources are the schemes that image.source may have; nil if any will do.
	Sources []string
	// EnvVars and Given give variables their values: the text of LKUP_VAR_x,
	// then files and flags, each of which wins over those before it.
	EnvVars map[string]string
	Given   []Given
	Facts   Facts
	// Profiles are those that are switched on.
	Profiles []string
	// Secrets are the values of secret blocks, by address, as Stack.Secrets
	// asks for them. One that is not there is not known yet.
	Secrets map[Address]string
}

// Given is a file of assignments, read by the caller because it may lie outside
// the project, or the text for one variable.
type Given struct {
	File    string
	Content []byte

	Name, Text string
}

// Load reads the stack files at the root of project and evaluates them. The
// returned files are for showing diagnostics with their source lines. With any
// error among the diagnostics, the stack is nil.
//
// A host port among the facts that a stack file now asks for by number is
// forgotten, and so chosen anew.
//
// project must not let a path escape it; os.Root.FS does this.
func Load(project fs.FS, in Inputs) (*Stack, map[string]*hcl.File, hcl.Diagnostics) {
	for {
		e := evaluate(project, in)
		files, diags := e.reader.files, e.sorted()
		if len(e.claims.lost) > 0 {
			in.Facts = in.Facts.without(e.claims.lost)
			continue
		}
		if diags.HasErrors() {
			return nil, files, diags
		}
		return e.stack, files, diags
	}
}

// evaluate goes once from files to a stack: read, declare, link, order, evaluate.
func evaluate(project fs.FS, in Inputs) *evaluator {
	e := &evaluator{
		report: newReport(),
		in:     in,
		reader: &reader{project: project, files: map[string]*hcl.File{}, read: map[string]bool{}, bodies: map[string][]hcl.Body{}},
		claims: &claims{written: map[Address]map[string]hcl.Range{}}, movedAt: map[Pos]hcl.Range{},
		stack: &Stack{
			Images: map[Address]Image{}, VMs: map[Address]VM{}, Volumes: map[Address]Volume{}, Devenvs: map[Address]Devenv{}, Networks: map[Address]Network{}, Outputs: map[string]Output{},
			Inputs: map[string]Input{}, From: map[Pos][]string{},
		},
	}
	bodies := e.reader.stackBodies(".", in.Files, e.report)
	if len(bodies) == 0 {
		return e
	}
	e.functions = newFunctions(e.reader)
	e.declared = declare(bodies, ".", "", e.report)
	e.openModules(e.declared, nil)
	e.link(e.declared)
	e.identify()
	e.collectGiven()
	e.evaluateAll(order(e.declared.all(), e.report))
	e.refactorings()
	e.profiles()
	e.connectAll()
	e.claims.settle(e.report)
	e.warnUnused()
	e.madeOf()
	e.stack.Files = e.reader.names()
	return e
}

// link resolves the references of one directory's stack files.
func (e *evaluator) link(d *declarations) {
	l := &linker{declarations: d, report: e.report, functions: e.functions}
	l.link()
}

// without gives facts that lack some host ports.
func (f Facts) without(lost []claim) Facts {
	out := Facts{HostPorts: maps.Clone(f.HostPorts), Addresses: f.Addresses}
	for _, c := range lost {
		ports := maps.Clone(out.HostPorts[c.vm])
		delete(ports, c.port.Key())
		out.HostPorts[c.vm] = ports
	}
	return out
}
