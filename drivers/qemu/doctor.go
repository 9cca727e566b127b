package qemu

import (
	"context"
	"os/exec"
	"runtime"
	"strings"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// Check finds what QEMU cannot do.
func (d *Driver) Check(vm spec.VM) []drivers.Problem {
	var problems []drivers.Problem
	if vm.CPUs > 255 {
		problems = append(problems, drivers.Problem{
			Attribute: "cpus",
			Summary:   "QEMU's q35 machine has at most 255 processors",
			Hint:      "Write a smaller number.",
		})
	}
	return problems
}

// Diagnose looks for QEMU's programs and the accelerator.
func (d *Driver) Diagnose(ctx context.Context) []drivers.Finding {
	findings := []drivers.Finding{
		d.diagnoseProgram(ctx, binaryFor(runtime.GOARCH), drivers.Fail),
		d.diagnoseProgram(ctx, "qemu-img", drivers.Warn),
	}
	name, reason := accelerator(look(runtime.GOARCH))
	accel := drivers.Finding{Name: "accelerator", Level: drivers.OK, Detail: name}
	if reason != "" {
		accel.Level = drivers.Warn
		accel.Detail = name + ", which emulates the processor and is slower: " + reason
		if strings.Contains(reason, "permission denied") {
			accel.Hint = "sudo usermod -aG kvm $USER, then log in again"
		}
	}
	return append(findings, accel)
}

func (d *Driver) diagnoseProgram(ctx context.Context, name string, missing drivers.Level) drivers.Finding {
	path, err := d.settings.LookPath(name)
	if err != nil {
		return drivers.Finding{Name: name, Level: missing, Detail: "not installed", Hint: installHint(name)}
	}
	version, err := exec.CommandContext(ctx, path, "--version").Output()
	first, _, _ := strings.Cut(string(version), "\n")
	if err != nil {
		return drivers.Finding{Name: name, Level: missing, Detail: path + " does not run: " + err.Error()}
	}
	return drivers.Finding{Name: name, Level: drivers.OK, Detail: first}
}
