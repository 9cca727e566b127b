package main

import (
	"errors"
	"os"
	"os/exec"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/internal/volume"
)

type doctorCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run exits with 1 if machines cannot run here.
func (c *doctorCmd) Run(call *call) error {
	var findings []drivers.Finding
	all := allDrivers(call.Host)
	for _, name := range sortedKeys(all) {
		if d, able := all[name].(drivers.Doctor); able {
			findings = append(findings, d.Diagnose(call.ctx)...)
		}
	}
	findings = append(findings, diagnoseHost(call.Host)...)
	show := func() error { return view.DoctorText(call.Out, call.outStyle(), findings) }
	if c.JSON {
		show = func() error { return view.DoctorJSON(call.Out, findings) }
	}
	if err := show(); err != nil {
		return err
	}
	for _, f := range findings {
		if f.Level == drivers.Fail {
			return exitError(exitFailed)
		}
	}
	return nil
}

// diagnoseHost looks at what is not a driver's affair.
func diagnoseHost(host Host) []drivers.Finding {
	findings := []drivers.Finding{}
	for _, dir := range []struct{ name, path, variable string }{
		{"state directory", host.Layout().State, "LKUP_STATE_DIR"},
		{"cache directory", host.Layout().Cache, "LKUP_CACHE_DIR"},
		{"runtime directory", host.Layout().Runtime, "LKUP_RUNTIME_DIR"},
	} {
		f := drivers.Finding{Name: dir.name, Level: drivers.OK, Detail: dir.path}
		if err := writable(dir.path); err != nil {
			f.Level, f.Detail = drivers.Fail, err.Error()
			f.Hint = "make it writable, or choose another with " + dir.variable
		}
		findings = append(findings, f)
	}
	return append(findings, diagnoseFormatter(), diagnoseApt())
}

// diagnoseFormatter looks for what volumes with a path are formatted with.
func diagnoseFormatter() drivers.Finding {
	path, err := volume.Disks{LookPath: exec.LookPath}.Formatter()
	if err != nil {
		return drivers.Finding{Name: "mke2fs", Level: drivers.Warn, Detail: "volumes with a path cannot be made", Hint: err.Error()}
	}
	return drivers.Finding{Name: "mke2fs", Level: drivers.OK, Detail: path}
}

// writable makes the directory and a file in it, which it removes.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".doctor-")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// diagnoseApt looks for what apt: and builtin: components are made with.
func diagnoseApt() drivers.Finding {
	if name, missing := missingApt(); missing {
		return drivers.Finding{
			Name: "apt", Level: drivers.Warn, Detail: name + " is not installed",
			Hint: "templates with apt: components or builtin:kernel build on Debian and Ubuntu only; those that lkup brings use OCI images here",
		}
	}
	return drivers.Finding{Name: "apt", Level: drivers.OK, Detail: "apt: and builtin: components can be built"}
}
