package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/net/netutil"

	"github.com/lkup/lkup/agent"
	"github.com/lkup/lkup/devenv"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/spec"
)

type devAgentCmd struct {
	// Its name is none that agents have for a command of theirs, such as run.
	Start   devAgentRunCmd     `cmd:"" default:"withargs" help:"Run an agent of the devenv in a machine that has no way out but its egress list. The default."`
	Install devAgentInstallCmd `cmd:"" help:"Install an agent's program in its machine, as its install argument says."`
	Log     devAgentLogCmd     `cmd:"" help:"Show what agents asked for, and what was refused."`
}

// chosen is the agent that is meant: of that name, or the only one.
func (f devFlags) agent(stack *spec.Stack, name string) (spec.Devenv, spec.Agent, error) {
	var envs []spec.Devenv
	var agents []spec.Agent
	var names []string
	for _, address := range sortedKeys(stack.Devenvs) {
		env := stack.Devenvs[address]
		if f.Devenv != "" && f.Devenv != string(address) && "devenv."+f.Devenv != string(address) {
			continue
		}
		for _, a := range env.Agents {
			names = append(names, a.Name)
			if name == "" || name == a.Name {
				envs, agents = append(envs, env), append(agents, a)
			}
		}
	}
	switch {
	case len(names) == 0:
		return spec.Devenv{}, spec.Agent{}, errors.New(`no devenv of the stack files has an agent block; add, for example: agent "claude" { auth = ["anthropic", "git"] }`)
	case len(agents) == 0:
		return spec.Devenv{}, spec.Agent{}, fmt.Errorf("there is no agent %q; there is %s", name, strings.Join(names, ", "))
	case len(agents) > 1:
		return spec.Devenv{}, spec.Agent{}, fmt.Errorf("there are several agents, %s; name one: lkup dev agent NAME", strings.Join(names, ", "))
	}
	return envs[0], agents[0], nil
}

type devAgentRunCmd struct {
	devUpFlags
	Review bool     `name:"review" help:"Have it work on a copy of the project, and show what it changed before anything is brought back."`
	Yes    bool     `name:"yes" short:"y" help:"With --review: bring it back without being asked."`
	Words  []string `arg:"" optional:"" name:"agent" passthrough:"" help:"The agent, which may be left out where there is one; then --, and arguments for its program."`

	after int   // how many words stand behind --
	keys  *keys // of a review: the agent's, and then an answer
}

// AfterApply counts what stands behind --, which kong takes out where no name
// stands before it.
func (c *devAgentRunCmd) AfterApply(k *kong.Context) error {
	if at := slices.Index(k.Args, "--"); at >= 0 {
		c.after = len(k.Args) - at - 1
	}
	return nil
}

// Run ends with the exit status of the agent's program.
func (c *devAgentRunCmd) Run(call *call) error {
	name, args := c.taken()
	p, _, err := c.openProject(call.Host)
	if err != nil {
		return err
	}
	defer p.close()
	env, a, err := c.agent(p.stack, name)
	if err != nil {
		return err
	}
	given, err := p.agentAuth(call.ctx, a) // before a machine is made for nothing
	if err != nil {
		return err
	}
	args = slices.Concat(a.Args, args)
	machine := spec.AgentVM(env.Address, a.Name)
	if c.Review {
		c.keys = newKeys(call.In)
		return c.reviewed(call, p, machine, a, func(machine spec.Address) error {
			return c.session(call, p, machine, a, given, args)
		})
	}
	return c.session(call, p, machine, a, given, args)
}

// enterAgent brings the machine of an agent up for a session.
func (f devUpFlags) enterAgent(call *call, p *project, machine spec.Address) (reached, *ssh.Conn, error) {
	r, err := f.forSession(call, p, machine, "lkup apply --target "+string(machine))
	if err != nil {
		return r, nil, err
	}
	if !r.machine.Isolated {
		return r, nil, fmt.Errorf("%s runs with a way out, as it was applied; type: lkup apply", r.instance.Address)
	}
	conn, err := dial(call, r)
	if err != nil {
		return r, nil, err
	}
	if err := awaitProject(call, conn); err != nil {
		_ = conn.Close()
		return r, nil, err
	}
	return r, conn, nil
}

// session runs an agent's program in a machine.
func (c *devAgentRunCmd) session(call *call, p *project, machine spec.Address, a spec.Agent, given agentAuth, args []string) error {
	r, conn, err := c.enterAgent(call, p, machine)
	if err != nil {
		return err
	}
	defer conn.Close()
	command := a.Command
	if len(command) == 0 {
		command = []string{a.Name}
	}
	if a.Install != "" {
		program, _, err := c.installed(call, p, r, conn, a)
		if err != nil {
			return err
		}
		if len(a.Command) == 0 {
			command = []string{program}
		}
	}
	command = slices.Concat(command, args)
	ctx, cancel := context.WithCancel(context.WithoutCancel(call.ctx))
	defer cancel()
	in := call.In
	if c.keys != nil {
		in = c.keys.until(ctx)
	}
	s := &agentSession{call: call, ctx: ctx, in: in, conn: conn, agent: a, log: agent.OpenLog(p.paths.AgentLog(a.Name))}
	defer s.close()
	if err := s.open(given); err != nil {
		return err
	}
	return s.run(command)
}

// taken takes apart the agent's name and the arguments for its program.
func (c *devAgentRunCmd) taken() (name string, args []string) {
	if c.after == len(c.Words) {
		return "", c.Words
	}
	args = c.Words[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	return c.Words[0], args
}

// agentSession is one run of an agent: what serves it on the host lives as long
// as it does.
type agentSession struct {
	call  *call
	ctx   context.Context
	in    io.Reader
	conn  *ssh.Conn
	agent spec.Agent
	log   *agent.Log

	env     []string
	servers []*http.Server
	sockets []net.Listener
}

// mostConnections is how many connections a guest has to the host's servers at
// once, to each of them.
const mostConnections = 128

// headerLimit is how long a request may take to say what it is about.
const headerLimit = 30 * time.Second

// open has the guest listen for what the agent may use, and makes its
// environment.
func (s *agentSession) open(given agentAuth) error {
	allow, err := agent.ParseAllow(s.agent.Egress)
	if err != nil {
		return err
	}
	at, err := s.serve(&agent.Proxy{Allow: allow, Now: s.call.Now, Told: s.told})
	if err != nil {
		return err
	}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		s.env = append(s.env, name+"=http://"+at)
	}
	s.env = append(s.env, "NO_PROXY=127.0.0.1,localhost,::1", "no_proxy=127.0.0.1,localhost,::1")
	var limit spec.Budget
	if s.agent.Budget != "" {
		var problem string
		if limit, problem = spec.ParseBudget(s.agent.Budget); problem != "" {
			return errors.New(problem)
		}
	}
	budget := agent.NewBudget(limit) // of all APIs together
	for _, held := range given.keys {
		at, err := s.serve(&agent.Broker{
			API: held.api, Base: held.base, Key: held.key, Budget: budget, Now: s.call.Now, Told: s.told, Transport: agent.NewTransport(),
		})
		if err != nil {
			return err
		}
		s.env = append(s.env, held.api.BaseEnv+"=http://"+at, held.api.KeyEnv+"="+agent.Placeholder)
	}
	if given.socket != "" {
		if err := s.lendSocket(given.socket); err != nil {
			return err
		}
	}
	if s.agent.Install != "" {
		s.env = append(s.env, agentPath)
	}
	s.env = append(s.env, given.env...)
	if s.agent.Model != "" {
		s.env = append(s.env, "LKUP_AGENT_MODEL="+s.agent.Model, "ANTHROPIC_MODEL="+s.agent.Model, "OPENAI_MODEL="+s.agent.Model)
	}
	for _, name := range sortedKeys(s.agent.Env) {
		s.env = append(s.env, name+"="+s.agent.Env[name])
	}
	return nil
}

// serve answers HTTP on a port of the guest's own loopback, and gives its
// address there.
func (s *agentSession) serve(handler http.Handler) (string, error) {
	listener, err := s.conn.Listen("127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerLimit, BaseContext: func(net.Listener) context.Context { return s.ctx }}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(netutil.LimitListener(listener, mostConnections)) }() // until close
	return listener.Addr().String(), nil
}

// agentSocket is where a guest finds the SSH agent that it was lent.
const agentSocket = "/run/lkup-ssh-agent.sock"

// lendSocket lets the guest use the host's SSH agent. It can sign in as the user
// for as long as the session lasts, which is why it must be asked for.
func (s *agentSession) lendSocket(path string) error {
	listener, err := s.conn.ListenUnix(agentSocket)
	if err != nil {
		return err
	}
	s.sockets = append(s.sockets, listener)
	s.env = append(s.env, "SSH_AUTH_SOCK="+agentSocket)
	go func() { // until close
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			var dialer net.Dialer
			there, err := dialer.DialContext(s.ctx, "unix", path)
			if err != nil {
				_ = conn.Close() // the guest sees that nobody is there
				continue
			}
			go ssh.Join(conn, there) // ends with either
		}
	}()
	return nil
}

// told writes an entry into the log. An agent whose log cannot be written does
// not go on.
func (s *agentSession) told(e agent.Entry) {
	if err := s.log.Add(e); err != nil {
		fmt.Fprintln(s.call.Err, view.Clean("the agent's log cannot be written, so its session ends: "+err.Error()))
		_ = s.conn.Close() // the session ends with it
	}
}

// run runs the agent's program in the project, with a terminal if there is one.
func (s *agentSession) run(words []string) error {
	command := ssh.Command{Args: devenv.In(spec.DevenvProject, words), Env: s.env, Stdin: s.in, Stdout: s.call.Out, Stderr: s.call.Err}
	if s.call.TTY.In {
		restore, terminal, err := takeTerminal(s.call.Host)
		if err != nil {
			return err
		}
		defer restore()
		command.TTY = terminal
	}
	status, err := s.conn.Exec(s.call.ctx, command)
	if s.call.ctx.Err() != nil {
		return exitError(exitInterrupted)
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", words[0], err)
	}
	if status != 0 {
		return exitError(status)
	}
	return nil
}

func (s *agentSession) close() {
	for _, server := range s.servers {
		_ = server.Close() // its connections end with it
	}
	for _, l := range s.sockets {
		_ = l.Close()
	}
}

type devAgentLogCmd struct {
	devFlags
	Name string `arg:"" optional:"" help:"The agent; may be left out where there is one."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *devAgentLogCmd) Run(call *call) error {
	p, _, err := c.openProject(call.Host)
	if err != nil {
		return err
	}
	defer p.close()
	_, a, err := c.agent(p.stack, c.Name)
	if err != nil {
		return err
	}
	entries, err := agent.ReadLog(p.paths.AgentLog(a.Name))
	if err != nil {
		return fmt.Errorf("read the log of agent %s: %w", a.Name, err)
	}
	rows := make([]view.AgentRow, len(entries))
	for n, e := range entries {
		rows[n] = view.AgentRow(e)
	}
	if c.JSON {
		return view.AgentLogJSON(call.Out, rows)
	}
	return view.AgentLogText(call.Out, call.outStyle(), rows)
}
