package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// mostMemory is what a plan of 10,000 VMs may take, in MiB.
const mostMemory = 100

// measureUnchanged compares `lkup plan` of 1,000 VMs that are as they should be
// with `terraform plan` of 1,000 terraform_data, where there is a terraform.
// The VMs do not run, because no host runs a thousand; the plan asks after each
// all the same.
func measureUnchanged(ctx context.Context, l lkup, r *report, rounds int) error {
	if err := measureMemory(ctx, l, r); err != nil {
		return err
	}
	program, err := exec.LookPath("terraform")
	if err != nil {
		r.title("lkup plan of 1,000 unchanged VMs: compared only where there is a terraform")
		return nil
	}
	project, err := l.project("unchanged", map[string]string{"lkup.hcl": `stack "unchanged" {}

vm "m" {
  count   = 1000
  image   = "builtin:minimal"
  running = false
  env     = { N = count.index }
}
`})
	if err != nil {
		return err
	}
	other, err := l.project("terraform", map[string]string{"main.tf": "resource \"terraform_data\" \"m\" {\n  count = 1000\n  input = count.index\n}\n"})
	if err != nil {
		return err
	}
	if _, _, err := l.run(ctx, project, "apply", "-y"); err != nil {
		return err
	}
	for _, args := range [][]string{{"init"}, {"apply", "-auto-approve"}} {
		if _, err := terraform(ctx, program, other, args...); err != nil {
			return err
		}
	}
	var ours, theirs samples
	for range rounds {
		_, took, err := l.run(ctx, project, "plan", "--detailed-exitcode")
		if err != nil {
			return err
		}
		ours = append(ours, took)
		if took, err = terraform(ctx, program, other, "plan", "-detailed-exitcode"); err != nil {
			return err
		}
		theirs = append(theirs, took)
	}
	r.title("plan of 1,000 that are as they should be")
	r.times("lkup plan, 1,000 VMs", ours)
	r.times("terraform plan, 1,000 terraform_data", theirs)
	r.atMost("lkup / terraform", ratio(ours, theirs), 0.05, "")
	_, _, err = l.run(ctx, project, "down", "-y")
	return err
}

// terraform runs one command, without asking its maker for news.
func terraform(ctx context.Context, program, dir string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_CLI_CONFIG_FILE=/dev/null", "TF_IN_AUTOMATION=1", "HOME="+filepath.Join(dir, "home"))
	began := time.Now()
	output, err := cmd.CombinedOutput()
	took := time.Since(began)
	if err != nil {
		return took, fmt.Errorf("terraform %v: %w\n%s", args, err, output)
	}
	return took, nil
}

// measureMemory looks at the most that a plan of 10,000 VMs ever had.
func measureMemory(ctx context.Context, l lkup, r *report) error {
	many, err := l.project("memory", map[string]string{"lkup.hcl": repeatedVMs(10000)})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, l.binary, "plan", "--allow-overcommit", "-C", many)
	cmd.Env = l.env()
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("lkup plan: %w\n%s", err, output)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("this system does not tell how much memory a process had")
	}
	r.title("memory of lkup plan, 10,000 VMs")
	r.atMost("the most it had", float64(usage.Maxrss)/1024, mostMemory, " MiB")
	return nil
}
