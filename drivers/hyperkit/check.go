package hyperkit

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// maxCPUs is what every Hyperkit takes.
const maxCPUs = 16

const otherDriver = `Take it out, or write driver = "qemu".`

// Check finds what Hyperkit cannot do.
func (d *Driver) Check(vm spec.VM) []drivers.Problem {
	var problems []drivers.Problem
	add := func(attribute, summary, hint string) {
		problems = append(problems, drivers.Problem{Attribute: attribute, Summary: summary, Hint: hint})
	}
	if !d.here() {
		add("driver", "Hyperkit runs on Intel Macs only", `Write driver = "qemu", or "auto".`)
	}
	if vm.CPUs > maxCPUs {
		add("cpus", fmt.Sprintf("Hyperkit's machines have at most %d processors", maxCPUs), `Write a smaller number, or driver = "qemu".`)
	}
	if vm.Arch != "" {
		add("arch", "Hyperkit emulates no other architecture", otherDriver)
	}
	if vm.Isolated {
		add("", "Hyperkit cannot shut a machine off, as an agent's is", otherDriver)
	}
	if !vm.Seed.IsZero() {
		add("seed", "Hyperkit has no disk for a seed", otherDriver)
	}
	if vm.Firmware == spec.FirmwareBIOS {
		add("firmware", "Hyperkit has no BIOS", otherDriver)
	}
	for _, s := range vm.Shares {
		switch {
		case s.Type != spec.ShareSync:
			add(s.Attribute(), "Hyperkit has no shares but copies", `Write type = "sync", or driver = "qemu".`)
		case vm.Kind == spec.KindTask:
			add(s.Attribute(), "Hyperkit has no shares but copies, which a task may be over without", otherDriver)
		}
	}
	for _, m := range vm.Mounts {
		if m.Path != "" {
			add(m.Attribute(), "Hyperkit cannot name disks, so that the guest does not find the one to mount", `Take out "path", or write driver = "qemu".`)
		}
	}
	return problems
}

// ShareWay is a copy.
func (d *Driver) ShareWay(spec.Share) (way, why string) {
	return spec.ShareSync, "Hyperkit has no other"
}

// Diagnose looks for Hyperkit where it can run.
func (d *Driver) Diagnose(ctx context.Context) []drivers.Finding {
	if !d.here() {
		return nil
	}
	finding := drivers.Finding{Name: "hyperkit", Level: drivers.Warn, Detail: "not installed", Hint: installHint}
	path, err := d.program()
	if err != nil {
		return []drivers.Finding{finding}
	}
	cmd := exec.CommandContext(ctx, path, "-v")
	cmd.Env = append([]string{}, d.settings.Env...)
	output, err := cmd.Output()
	if err != nil {
		finding.Detail = path + " does not run: " + err.Error()
		return []drivers.Finding{finding}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	return []drivers.Finding{{Name: "hyperkit", Level: drivers.OK, Detail: first}}
}
