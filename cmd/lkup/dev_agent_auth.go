package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"

	"github.com/lkup/lkup/agent"
	"github.com/lkup/lkup/spec"
)

// agentAuth is what an agent is given of its user's, by what auth lists.
type agentAuth struct {
	keys   []heldKey
	env    []string
	socket string // of the host's SSH agent
}

// heldKey is a key that stays on the host.
type heldKey struct {
	api  agent.API
	base *url.URL
	key  string
}

// agentAuth gathers what auth lists, and nothing else.
func (p *project) agentAuth(ctx context.Context, a spec.Agent) (agentAuth, error) {
	var all agentAuth
	for _, name := range a.Auth {
		if err := p.addAuth(ctx, &all, name); err != nil {
			return agentAuth{}, fmt.Errorf("auth %q of agent %s: %w", name, a.Name, err)
		}
	}
	return all, nil
}

func (p *project) addAuth(ctx context.Context, all *agentAuth, name string) error {
	names := []string{"gh", "git", "ssh"}
	for _, api := range agent.APIs() {
		if api.Name == name {
			held, err := p.holdKey(ctx, api)
			all.keys = append(all.keys, held)
			return err
		}
		names = append(names, api.Name)
	}
	switch name {
	case "git":
		identity, err := p.gitIdentity(ctx)
		all.env = append(all.env, identity...)
		return err
	case "gh":
		token := p.host.Getenv("GH_TOKEN")
		if token == "" {
			out, err := p.output(ctx, "gh", "auth", "token")
			if err != nil {
				return fmt.Errorf("there is no token: export GH_TOKEN=..., or type gh auth login (%w)", err)
			}
			token = out
		}
		all.env = append(all.env, "GH_TOKEN="+token)
		return nil
	case "ssh":
		if all.socket = p.host.Getenv("SSH_AUTH_SOCK"); all.socket == "" {
			return errors.New("there is no SSH agent: SSH_AUTH_SOCK is not set")
		}
		return nil
	}
	return fmt.Errorf("there is no such thing; there is %s", strings.Join(names, ", "))
}

// holdKey finds the key of an API: the stack's secret of that name, else the
// variable that programs take it from.
func (p *project) holdKey(ctx context.Context, api agent.API) (heldKey, error) {
	base, key := p.host.Getenv(api.BaseEnv), p.host.Getenv(api.KeyEnv)
	if base == "" {
		base = api.Base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return heldKey{}, fmt.Errorf("%s=%s is no URL", api.BaseEnv, base)
	}
	for _, source := range p.stack.Secrets {
		if source.Address != spec.Address("secret."+api.Name) {
			continue
		}
		if key, err = p.fetchSecret(ctx, source); err != nil {
			return heldKey{}, err
		}
	}
	if key == "" || key == agent.Placeholder {
		return heldKey{}, fmt.Errorf("there is no key: export %s=..., or write: secret %q { command = [...] }", api.KeyEnv, api.Name)
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return heldKey{}, errors.New("the key has characters that no header can hold")
	}
	return heldKey{api: api, base: u, key: key}, nil
}

// gitIdentity has the agent's commits be its user's.
func (p *project) gitIdentity(ctx context.Context) ([]string, error) {
	var all []string
	for _, part := range []string{"name", "email"} {
		value, err := p.output(ctx, "git", "config", "user."+part)
		if err != nil {
			return nil, fmt.Errorf("git has no user.%s here; type: git config --global user.%[1]s ... (%w)", part, err)
		}
		for _, role := range []string{"AUTHOR", "COMMITTER"} {
			all = append(all, "GIT_"+role+"_"+strings.ToUpper(part)+"="+value)
		}
	}
	return all, nil
}

// output is what a program of the host prints in the project's directory.
func (p *project) output(ctx context.Context, words ...string) (string, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout = p.dir, p.host.Environ, &out
	err := cmd.Run()
	return strings.TrimRight(out.String(), "\r\n"), err
}
