package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// mostSecret is how long a secret may be, in bytes; an environment holds no
// more.
const mostSecret = 64 << 10

// fetchSecrets gets the values of the stack's secret blocks and evaluates the
// stack with them. They are held in memory alone.
func (p *project) fetchSecrets(ctx context.Context) error {
	if len(p.stack.Secrets) == 0 || p.inputs.Secrets != nil {
		return nil
	}
	values := map[spec.Address]string{}
	var missing []error
	for _, source := range p.stack.Secrets {
		value, err := p.fetchSecret(ctx, source)
		if err != nil {
			missing = append(missing, fmt.Errorf("%s (%s): %w", source.Address, source.Origin, err))
		}
		values[source.Address] = value
	}
	if len(missing) > 0 {
		return errors.Join(missing...)
	}
	p.inputs.Secrets = values
	return p.evaluate(spec.Facts{}, false)
}

func (p *project) fetchSecret(ctx context.Context, source spec.SecretSource) (string, error) {
	switch {
	case source.Env != "":
		for _, entry := range p.host.Environ {
			if value, found := strings.CutPrefix(entry, source.Env+"="); found {
				return value, nil
			}
		}
		return "", fmt.Errorf("the environment variable %s is not set; type: export %s=...", source.Env, source.Env)
	case source.File != "":
		path := source.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.dir, path)
		}
		file, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("read its file: %w", err)
		}
		defer file.Close()
		content, err := io.ReadAll(io.LimitReader(file, mostSecret+1))
		if err != nil {
			return "", fmt.Errorf("read its file: %w", err)
		}
		return secretText(content)
	}
	return p.runForSecret(ctx, source.Command)
}

// runForSecret runs a command in the project's directory. What it says on
// stderr is shown; what it prints is the secret.
func (p *project) runForSecret(ctx context.Context, command []string) (string, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.host.Environ, &out, p.host.Err
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("its command %s failed: %w", command[0], err)
	}
	return secretText(out.Bytes())
}

// secretText is a text without the newline that ends a file or an output.
func secretText(content []byte) (string, error) {
	if len(content) > mostSecret {
		return "", fmt.Errorf("it is longer than %d KiB, which no environment holds", mostSecret>>10)
	}
	text := strings.TrimSuffix(string(content), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// handSecrets gives the VMs of a saved plan their secrets, which its file does
// not hold, from the stack files of now; they must be those it was made with.
func handSecrets(ctx context.Context, host Host, flags stackFlags, saved planner.Saved, facts spec.Facts) error {
	wanted := 0
	for _, step := range saved.Plan.Steps {
		if step.Want != nil {
			wanted += len(step.Want.Secrets)
		}
	}
	if wanted == 0 {
		return nil
	}
	flags.Dir = saved.Project
	p, err := openProject(host, flags)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.fetchSecrets(ctx); err != nil {
		return err
	}
	if err := p.evaluate(facts, false); err != nil {
		return err
	}
	p.stack.Seal(saved.Lineage)
	for _, step := range saved.Plan.Steps {
		if step.Want == nil {
			continue
		}
		for name, secret := range step.Want.Secrets {
			now := p.stack.VMs[step.Address].Secrets[name]
			switch {
			case step.Want.Lifecycle.Ignores("env." + name):
				now.Digest = secret.Digest
			case now.Digest != secret.Digest:
				return fmt.Errorf("the secret env.%s of %s is not what it was", name, step.Address)
			}
			step.Want.Secrets[name] = now
		}
	}
	return nil
}
