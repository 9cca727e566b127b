package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/hashicorp/hcl/v2"
	gossh "golang.org/x/crypto/ssh"

	"github.com/lkup/lkup/internal/ssh"
)

// checkLogins finds ssh blocks whose keys are none, or cannot be used by a
// program that asks nobody.
func (p *project) checkLogins() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, address := range p.stack.Addresses() {
		vm := p.stack.VMs[address]
		if vm.SSH.User == "" {
			continue
		}
		for _, key := range []struct{ attribute, problem string }{
			{"ssh.private_key", badPrivateKey(p.dir, vm.SSH.PrivateKey)},
			{"ssh.host_key", badHostKey(vm.SSH.HostKey)},
		} {
			if key.problem == "" || slices.Contains(vm.Unknown, key.attribute) {
				continue
			}
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Unusable key", Detail: key.problem, Subject: lineRange(p.sources, vm.Origin(key.attribute)),
			})
		}
	}
	return diags
}

func badPrivateKey(dir, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	err := ssh.ReadPrivateKey(path)
	var locked *gossh.PassphraseMissingError
	switch {
	case err == nil:
		return ""
	case errors.Is(err, os.ErrNotExist):
		return fmt.Sprintf("There is no file %s. Write the path of the private key that the image takes.", path)
	case errors.As(err, &locked):
		return fmt.Sprintf("%s has a passphrase, which nobody is there to type. Make a copy without one, or a key for this machine alone: ssh-keygen -t ed25519 -N '' -f KEY", path)
	}
	return fmt.Sprintf("It cannot be used: %s. Write the path of a private key as ssh-keygen makes it.", err)
}

func badHostKey(line string) string {
	if _, err := ssh.ParseHostKey(line); err != nil {
		return "It is no public key: " + err.Error() + ". Write what stands in the image's /etc/ssh/ssh_host_ed25519_key.pub."
	}
	return ""
}
