package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/reconciler"
	"github.com/lkup/lkup/spec"
)

// check finds what the stack files ask for and this host cannot do.
func (p *project) check(host Host) hcl.Diagnostics {
	var diags hcl.Diagnostics
	all := allDrivers(host)
	for _, address := range p.stack.Addresses() {
		vm := p.stack.VMs[address]
		checker, able := all[chosenDriver(host, vm)].(drivers.Checker)
		if !able {
			continue
		}
		for _, problem := range checker.Check(vm) {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  problem.Summary,
				Detail:   problem.Hint,
				Subject:  lineRange(p.sources, vm.Origin(problem.Attribute)),
			})
		}
	}
	return diags
}

// checkDrivers is check as an error.
func (p *project) checkDrivers(host Host) error {
	if diags := p.check(host); diags.HasErrors() {
		return &invalidStack{diags: diags, files: p.sources}
	}
	return nil
}

// checkFiles refuses directories and keys that are not there, or not for this
// use.
func (p *project) checkFiles(host Host) error {
	if diags := append(p.checkShares(host), p.checkLogins()...); diags.HasErrors() {
		return &invalidStack{diags: diags, files: p.sources}
	}
	return nil
}

// checkShares finds directories that are not there, or not for guests.
func (p *project) checkShares(host Host) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, address := range p.stack.Addresses() {
		vm := p.stack.VMs[address]
		for _, share := range vm.Shares {
			if slices.Contains(vm.Unknown, share.Attribute()) {
				continue // seen when it is
			}
			if summary, hint := reconciler.ShareProblem(share, p.dir, host.Home); summary != "" {
				diags = append(diags, &hcl.Diagnostic{
					Severity: hcl.DiagError,
					Summary:  summary,
					Detail:   hint,
					Subject:  lineRange(p.sources, vm.Origin(share.Attribute())),
				})
			}
		}
	}
	return diags
}

// checkImages refuses what images cannot do. guests says of those of which it is
// known whether lkup's init runs in them.
func (p *project) checkImages(guests map[spec.Address]bool) error {
	var diags hcl.Diagnostics
	for _, address := range p.stack.Addresses() {
		vm := p.stack.VMs[address]
		guest, known := guests[vm.Image]
		if !known {
			continue
		}
		problems := reconciler.ImageProblems(vm, guest)
		for _, attribute := range sortedKeys(problems) {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError,
				Summary:  "The image cannot do that",
				Detail:   fmt.Sprintf("%s has %s: %s.", address, vm.Image, problems[attribute]),
				Subject:  lineRange(p.sources, vm.Origin(attribute)),
			})
		}
	}
	if diags.HasErrors() {
		return &invalidStack{diags: diags, files: p.sources}
	}
	return nil
}

// checkTemplates reads the templates of the stack's machines. It warns of
// machines with less memory than their templates say they need; mistakes in
// templates, of all of them, are its error.
func (p *project) checkTemplates(host Host) (hcl.Diagnostics, error) {
	home, err := homeFiles(host.Home)
	if err != nil {
		return nil, err
	}
	reader := templateReader(host, p.root.FS(), home)
	needs := map[spec.Address]string{}
	var mistakes []error
	for _, img := range usedImages(p.stack) {
		if img.Template == nil {
			continue
		}
		about, err := reader.Check(img)
		mistakes = append(mistakes, err)
		needs[img.Address] = about.Memory
	}
	var diags hcl.Diagnostics
	for _, address := range p.stack.Addresses() {
		vm := p.stack.VMs[address]
		need, problem := spec.ParseMemory(needs[vm.Image])
		if problem != "" || vm.Memory == 0 || vm.Memory >= need {
			continue
		}
		diags = append(diags, &hcl.Diagnostic{
			Severity: hcl.DiagWarning,
			Summary:  "Little memory",
			Detail:   fmt.Sprintf("%s has %dMiB, and its template says that it needs %s. Write: memory = %q", address, vm.Memory, needs[vm.Image], needs[vm.Image]),
			Subject:  lineRange(p.sources, vm.Origin("memory")),
		})
	}
	return diags, errors.Join(mistakes...)
}

// lineRange is the rest of the line at pos, as diagnostics want it.
func lineRange(files map[string]*hcl.File, pos spec.Pos) *hcl.Range {
	r := &hcl.Range{
		Filename: pos.File,
		Start:    hcl.Pos{Line: pos.Line, Column: pos.Column},
		End:      hcl.Pos{Line: pos.Line, Column: pos.Column},
	}
	file, found := files[pos.File]
	if !found || pos.Line < 1 {
		return r
	}
	offset, line := 0, file.Bytes
	for n := 1; n < pos.Line; n++ {
		end := bytes.IndexByte(line, '\n')
		if end < 0 {
			return r
		}
		offset, line = offset+end+1, line[end+1:]
	}
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	start := min(max(pos.Column-1, 0), len(line))
	r.Start.Byte, r.End.Byte = offset+start, offset+len(line)
	r.End.Column = len(line) + 1
	return r
}

// checkAddresses refuses addresses that name nothing, wanted or there.
func checkAddresses(flag string, addresses []spec.Address, stack *spec.Stack, known state.State) error {
	for _, a := range addresses {
		if !covers(a, stack, known) {
			return usageError{fmt.Sprintf("%s %s names no machine of stack %s; lkup ps lists them, as vm.NAME", flag, a, stack.Name)}
		}
	}
	return nil
}

func covers(target spec.Address, stack *spec.Stack, known state.State) bool {
	for address := range stack.VMs {
		if target.Covers(address) {
			return true
		}
	}
	for address := range known.Instances {
		if target.Covers(address) {
			return true
		}
	}
	return false
}
