package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/lkup/lkup/internal/dockerapi"
	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

type devDockerCmd struct {
	Client devDockerRunCmd   `cmd:"" default:"withargs" help:"Run this computer's docker with the machine's Docker Engine: lkup dev docker -- ps. The default."`
	Env    devDockerEnvCmd   `cmd:"" help:"Print what has docker use that engine, for: eval $(lkup dev docker env)."`
	Ports  devDockerPortsCmd `cmd:"" help:"Show what became of the ports that containers publish."`
}

const (
	// engineLimit is how long an engine may take to answer once its machine is
	// up; an emulated one takes half a minute.
	engineLimit = 5 * time.Minute
	// portsLimit is how long a new container's ports may take to be here.
	portsLimit = 5 * time.Second
	portsLook  = 50 * time.Millisecond
)

// dockerVariables are those by which docker chooses an engine.
func dockerVariables() []string {
	return []string{"DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"}
}

// dockerEngine is a devenv's engine, as this host sees it.
type dockerEngine struct {
	paths  layout.Stack
	vm     spec.Address
	client *dockerapi.Client
}

func (e dockerEngine) socket() string { return e.paths.Docker(string(e.vm)) }

// dockered is an error unless the devenv has a Docker Engine.
func (w *workplace) dockered() error {
	if w.env.Docker {
		return nil
	}
	return fmt.Errorf("%s has no Docker Engine; add to its devenv block: docker {}", w.env.Address)
}

// engine brings the machine up, has its engine's socket kept here, and waits
// until the engine answers through it.
func (f devUpFlags) engine(call *call, w *workplace) (dockerEngine, error) {
	if err := w.dockered(); err != nil {
		return dockerEngine{}, err
	}
	r, conn, err := f.enter(call, w)
	if conn != nil {
		defer conn.Close()
	}
	if err != nil {
		return dockerEngine{}, err
	}
	if !r.instance.Applied.Docker {
		return dockerEngine{}, fmt.Errorf("%s runs as it was before its docker block; type: lkup dev up", w.env.Address)
	}
	known, err := state.Read(w.project.paths)
	if err != nil {
		return dockerEngine{}, err
	}
	flags := f.stackFlags
	flags.Dir = w.project.dir
	if err := ensureSupervisor(call.Host, w.project.paths, known, flags); err != nil {
		return dockerEngine{}, err
	}
	e := dockerEngine{paths: w.project.paths, vm: w.env.Address}
	e.client = dockerapi.New(func(ctx context.Context) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", e.socket())
	})
	return e, e.await(call, conn)
}

// await waits until the engine answers.
func (e dockerEngine) await(call *call, conn *ssh.Conn) error {
	err := e.client.Ping(call.ctx)
	if err == nil {
		return nil
	}
	if status, _, err := conn.Run(call.ctx, []string{"sh", "-c", "command -v dockerd"}); err == nil && status != 0 {
		return fmt.Errorf("%s has a docker block, but no Docker Engine in its image; take out template or image, or write a template that runs dockerd", e.vm)
	}
	fmt.Fprintf(call.Err, "Waiting for the Docker Engine of %s.\n", e.vm)
	ctx, cancel := context.WithTimeout(call.ctx, engineLimit)
	defer cancel()
	for err != nil && ctx.Err() == nil {
		pause(ctx, serverLook)
		err = e.client.Ping(ctx)
	}
	if call.ctx.Err() != nil {
		return exitError(exitInterrupted)
	}
	if err != nil {
		return fmt.Errorf("the Docker Engine of %s does not answer within %s: %w; its console may say why: lkup dev logs", e.vm, engineLimit, err)
	}
	return nil
}

// ports are what became of the ports that are published now, once that is
// known of all.
func (e dockerEngine) ports(ctx context.Context) ([]view.DockerPort, error) {
	ctx, cancel := context.WithTimeout(ctx, portsLimit)
	defer cancel()
	published, err := e.client.Published(ctx)
	if err != nil {
		return nil, err
	}
	for {
		all, kept, err := readDockerPorts(e.paths, e.vm)
		if err != nil || kept && knowsOf(all, published) || ctx.Err() != nil {
			return all, err
		}
		pause(ctx, portsLook)
	}
}

// knowsOf reports whether something is known of each published port, and of no
// others.
func knowsOf(all []view.DockerPort, published []dockerapi.Port) bool {
	return slices.EqualFunc(all, published, func(a view.DockerPort, p dockerapi.Port) bool {
		return a.Guest == guestAddress(p) && a.Container == p.Container && a.Protocol == p.Protocol
	})
}

type devDockerRunCmd struct {
	devUpFlags
	Words []string `arg:"" optional:"" passthrough:"" name:"arguments" help:"Arguments for docker, after --."`
}

// Run ends with the exit status of docker.
func (c *devDockerRunCmd) Run(call *call) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	if len(words) == 0 {
		return usageError{"say what docker is to do: lkup dev docker -- ps"}
	}
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.dockered(); err != nil {
		return err
	}
	program, err := dockerClient()
	if err != nil {
		return err
	}
	e, err := c.engine(call, w)
	if err != nil {
		return err
	}
	before, err := e.ports(call.ctx)
	if err != nil {
		return err
	}
	child := *call
	child.Environ = slices.DeleteFunc(slices.Clone(call.Environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(dockerVariables(), name)
	})
	err = runLeased(&child, append([]string{program}, words...), []string{"DOCKER_HOST=unix://" + e.socket()})
	if call.ctx.Err() == nil {
		e.complain(call, before)
	}
	return err
}

// complain says what cannot be reached that could be before, or was not there.
func (e dockerEngine) complain(call *call, before []view.DockerPort) {
	now, err := e.ports(call.ctx)
	if err != nil {
		return // docker has said what it had to say
	}
	for _, p := range now {
		if p.Problem != "" && !slices.Contains(before, p) {
			fmt.Fprintf(call.Err, "lkup: %s\n", p.Sentence())
		}
	}
}

// dockerClient finds this computer's docker.
func dockerClient() (string, error) {
	program, err := exec.LookPath("docker")
	if err != nil {
		return "", errors.New("this computer has no program docker; install Docker's command line (Debian and Ubuntu: apt-get install docker.io), or use the machine's own: lkup dev run -- docker ps")
	}
	return program, nil
}

type devDockerEnvCmd struct {
	devUpFlags
}

// Run prints one line, which a shell takes with and without quotes.
func (c *devDockerEnvCmd) Run(call *call) error {
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	e, err := c.engine(call, w)
	if err != nil {
		return err
	}
	fmt.Fprintf(call.Out, "export DOCKER_HOST=%s; unset %s;\n", ssh.Quote([]string{"unix://" + e.socket()}), strings.Join(dockerVariables(), " "))
	return nil
}

type devDockerPortsCmd struct {
	devFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// Run shows what is kept at the moment, and brings nothing up.
func (c *devDockerPortsCmd) Run(call *call) error {
	w, err := c.open(call.Host)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.dockered(); err != nil {
		return err
	}
	all, kept, err := readDockerPorts(w.project.paths, w.env.Address)
	if err != nil {
		return err
	}
	if !kept {
		return fmt.Errorf("the Docker Engine of %s is not up; type: lkup dev docker -- ps", w.env.Address)
	}
	if c.JSON {
		return view.DockerPortsJSON(call.Out, all)
	}
	return view.DockerPorts(call.Out, call.outStyle(), all)
}
