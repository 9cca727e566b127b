package spec

import (
	"io/fs"

	"github.com/hashicorp/hcl/v2"
)

// Inputs are what an evaluation may depend on besides the files.
type Inputs struct {
	// DefaultName is the stack's name when no stack block gives one: the
	// base name of the project's directory.
	DefaultName string
	// Version is lkup's own, for stack.required_version.
	Version string
	// Drivers are the names that vm.driver may have besides "auto".
	Drivers []string
	// Builtins are the names that template.builtin may have.
	Builtins []string
	// EnvVars, VarFiles and Vars give variables their values: the text of
	// LKUP_VAR_x, files of assignments (later ones win), and --var. Each wins
	// over those before it.
	EnvVars  map[string]string
	VarFiles []VarFile
	Vars     map[string]string
	Facts    Facts
}

// VarFile is a file of variable values, read by the caller because it may lie
// outside the project.
type VarFile struct {
	Name    string
	Content []byte
}

// Load reads the stack files at the root of project and evaluates them. The
// returned files are for showing diagnostics with their source lines. With any
// error among the diagnostics, the stack is nil.
//
// project must not let a path escape it; os.Root.FS does this.
func Load(project fs.FS, in Inputs) (*Stack, map[string]*hcl.File, hcl.Diagnostics) {
	return nil, nil, nil
}
