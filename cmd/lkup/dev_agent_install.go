package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lkup/lkup/agent"
	"github.com/lkup/lkup/agent/npm"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/sources/download"
	"github.com/lkup/lkup/sources/lock"
	"github.com/lkup/lkup/spec"
)

// agentPath has the guest find what is installed for an agent before its own.
const agentPath = "PATH=" + spec.AgentPrefix + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// agentPackages are where the programs of known agents are published.
func agentPackages() map[string]string {
	return map[string]string{
		"claude": "@anthropic-ai/claude-code", "codex": "@openai/codex", "copilot": "@github/copilot",
		"gemini": "@google/gemini-cli", "opencode": "opencode-ai", "qwen": "@qwen-code/qwen-code",
	}
}

type devAgentInstallCmd struct {
	devUpFlags
	Name string `arg:"" optional:"" help:"The agent; may be left out where there is one."`
}

// Run installs what is not installed yet.
func (c *devAgentInstallCmd) Run(call *call) error {
	p, _, err := c.openProject(call.Host)
	if err != nil {
		return err
	}
	defer p.close()
	env, a, err := c.agent(p.stack, c.Name)
	if err != nil {
		return err
	}
	if a.Install == "" {
		return c.unnamed(call, p, a)
	}
	machine := spec.AgentVM(env.Address, a.Name)
	r, conn, err := c.enterAgent(call, p, machine)
	if err != nil {
		return err
	}
	defer conn.Close()
	program, news, err := c.installed(call, p, r, conn, a)
	if err != nil {
		return err
	}
	if !news {
		fmt.Fprintf(call.Out, "%s is installed in %s already, as %s.\n", a.Install, machine, view.Clean(program))
	}
	return nil
}

// unnamed is the error of an agent that says nothing of what to install, with
// what to write.
func (c *devAgentInstallCmd) unnamed(call *call, p *project, a spec.Agent) error {
	name, known := agentPackages()[a.Name]
	if !known {
		return fmt.Errorf("agent %q (%s) does not say what to install; add to its block, for example: install = \"npm:NAME@1.2.3\"", a.Name, a.Origin)
	}
	i, err := newInstaller(call, p, a, c.Offline)
	if err != nil {
		return err
	}
	latest, err := i.registry.Latest(call.ctx, name)
	if err != nil {
		return fmt.Errorf("agent %q (%s) does not say what to install; add to its block: install = \"npm:%s@VERSION\" (what the newest version is could not be asked: %w)", a.Name, a.Origin, name, err)
	}
	return fmt.Errorf("agent %q (%s) does not say what to install; add to its block: install = \"npm:%s@%s\", which is the newest version now", a.Name, a.Origin, name, view.Clean(latest))
}

// installer puts a package into a guest.
type installer struct {
	call     *call
	agent    spec.Agent
	images   *imageSources
	registry *npm.Registry
}

func newInstaller(call *call, p *project, a spec.Agent, offline bool) (*installer, error) {
	use := imageUse{offline: offline}
	images, err := openImageSources(call.Host, p.dir, use)
	if err != nil {
		return nil, err
	}
	user, err := readNpmSettings(call.Host)
	if err != nil {
		return nil, err
	}
	log := agent.OpenLog(p.paths.AgentLog(a.Name))
	return &installer{call: call, agent: a, images: images, registry: &npm.Registry{
		Client: download.New(download.Settings{Store: images.store, Proxy: proxy(use), Agent: "lkup/" + version}),
		Store:  images.store,
		Base:   user.registry,
		Token:  user.token,
		Told: func(u *url.URL, received int64, err error) {
			if err := log.Add(installEntry(call.Host, u, received, err)); err != nil {
				fmt.Fprintln(call.Err, view.Clean("the agent's log cannot be written: "+err.Error()))
			}
		},
	}}, nil
}

// installEntry is a request to a registry, for the agent's log.
func installEntry(host Host, u *url.URL, received int64, err error) agent.Entry {
	port, _ := strconv.Atoi(cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
	e := agent.Entry{
		Time: host.Now().UTC(), Kind: "npm", Method: http.MethodGet, Host: u.Hostname(), Port: port, Path: u.Path,
		Received: received, Verdict: agent.Allowed,
	}
	if err != nil {
		e.Verdict, e.Why = agent.Failed, err.Error()
	}
	return e
}

// installed has an agent's package in its machine, and gives the program that
// is meant. news says that it was not there before.
func (f devUpFlags) installed(call *call, p *project, r reached, conn *ssh.Conn, a spec.Agent) (program string, news bool, err error) {
	root, problem := spec.ParsePackage(a.Install)
	if problem != "" {
		return "", false, errors.New(problem)
	}
	i, err := newInstaller(call, p, a, f.Offline)
	if err != nil {
		return "", false, err
	}
	tree, err := i.tree(root, cmp.Or(r.instance.Applied.Arch, call.Arch))
	if err != nil {
		return "", false, fmt.Errorf("install %s: %w", root, err)
	}
	if program, ok, err := there(call.ctx, conn, tree.ID()); ok || err != nil {
		return program, false, err
	}
	fmt.Fprintf(call.Err, "Installing %s in %s.\n", root, r.instance.Address)
	if program, err = i.install(conn, tree); err != nil {
		return "", false, fmt.Errorf("install %s: %w", root, err)
	}
	return program, true, nil
}

// tree is what lkup.lock.hcl says that the package consists of, or what it is
// found to be now, which is then written there.
func (i *installer) tree(root spec.Package, arch string) (npm.Tree, error) {
	pins, err := readLockFile(i.images.dir)
	if err != nil {
		return npm.Tree{}, err
	}
	tree, locked, err := npm.Pinned(root, pins.Packages(arch))
	if err != nil {
		return tree, fmt.Errorf("%s: %w; take it out", lock.FileName, err)
	}
	if locked {
		err := i.registry.Bring(i.call.ctx, tree, nil)
		var other *download.MismatchError
		if errors.As(err, &other) {
			err = fmt.Errorf("%w\n%s locks it to what it was when it was first installed. If the registry is right, take the blocks of %s out there", err, lock.FileName, root)
		}
		return tree, err
	}
	if tree, err = i.registry.Resolve(i.call.ctx, root, arch, nil); err != nil {
		return tree, err
	}
	for ref, d := range tree.Pins() {
		i.images.book.Set(lock.Package(ref, arch), d)
	}
	return tree, i.images.lock(i.call.ctx, false)
}

// installMark is where a guest says what is installed, and its program.
const installMark = spec.AgentPrefix + "/installed"

// there reports whether a guest has just this installed.
func there(ctx context.Context, conn *ssh.Conn, id string) (program string, ok bool, err error) {
	status, out, err := conn.Run(ctx, []string{"cat", installMark})
	if err != nil || status != 0 {
		return "", false, err
	}
	found, program, ok := strings.Cut(strings.TrimSuffix(string(out), "\n"), "\n")
	return program, ok && found == id && !strings.ContainsAny(program, "\n\x00"), nil
}

const (
	// installBegin takes what is on its stdin beside what is installed.
	installBegin = `cd "$1" 2>/dev/null || { mkdir -p "$1" && cd "$1"; } && rm -rf installed new && mkdir new && exec tar -x -C new -f -`
	// installPlace puts it in its place.
	installPlace = `cd "$1" && rm -rf lib bin && mv new/lib new/bin . && rm -rf new && chmod a+rx bin/*`
	// installEnd says that all is done, once it is on the disk.
	installEnd = `cd "$1" && printf '%s\n%s\n' "$2" "$3" >installed.new && sync && mv installed.new installed && sync`
	// installNode fails if a program is run by Node, and there is none.
	installNode = `case $(head -n 1 "$1/bin/$2" | tr -d '\000') in "#!"*node*) command -v node >/dev/null;; esac`
)

// install unpacks a tree in a guest, and runs what its packages want to be run
// there. It is the guest's business: it has no way out, and no key.
func (i *installer) install(conn *ssh.Conn, tree npm.Tree) (string, error) {
	written, err := i.unpack(conn, tree)
	if err != nil {
		return "", err
	}
	program, err := written.Program(i.agent.Name)
	if err != nil && len(i.agent.Command) == 0 {
		return "", err
	}
	if err := i.guest(conn, nil, installPlace, spec.AgentPrefix); err != nil {
		return "", err
	}
	if program != "" && i.guest(conn, nil, installNode, spec.AgentPrefix, program) != nil {
		return "", fmt.Errorf("%s is run by Node, which its machine does not have; add to the devenv block: packages = [\"nodejs\"]", program)
	}
	if err := i.scripts(conn, written.Scripts); err != nil {
		return "", err
	}
	if err := i.guest(conn, nil, installEnd, spec.AgentPrefix, tree.ID(), program); err != nil {
		return "", err
	}
	fmt.Fprintf(i.call.Err, "Installed %s and %s, %d MiB.\n", cmp.Or(program, tree.Root.Name), packages(len(tree.Placed)-1), (written.Bytes+1<<20-1)>>20)
	return program, nil
}

func packages(n int) string {
	if n == 1 {
		return "1 package that it needs"
	}
	return fmt.Sprintf("%d packages that it needs", n)
}

// unpack writes a tree into the guest while it is read from the store.
func (i *installer) unpack(conn *ssh.Conn, tree npm.Tree) (npm.Written, error) {
	from, to := io.Pipe()
	var written npm.Written
	wrote := make(chan error, 1)
	go func() {
		var err error
		written, err = i.registry.Write(tree, to)
		_ = to.CloseWithError(err)
		wrote <- err
	}()
	err := i.guest(conn, from, installBegin, spec.AgentPrefix)
	_ = from.CloseWithError(errors.New("the guest takes no more"))
	if failed := <-wrote; failed != nil && err == nil {
		err = failed
	}
	return written, err
}

// scripts runs what packages want to be run, which may fail for those that the
// agent's own needs: many of them do without.
func (i *installer) scripts(conn *ssh.Conn, all []npm.Script) error {
	for _, s := range all {
		err := i.guest(conn, nil, `cd "$1/$2" && exec sh -c "$3"`, spec.AgentPrefix, s.Dir, s.Line)
		if err == nil {
			continue
		}
		err = fmt.Errorf("%s of %s, %q: %w", s.Name, s.Package, s.Line, err)
		if strings.HasPrefix(s.Line, "node ") && i.guest(conn, nil, "command -v node") != nil {
			err = fmt.Errorf("%w; its machine has no Node: add to the devenv block: packages = [\"nodejs\"]", err)
		}
		if s.Root {
			return err
		}
		fmt.Fprintf(i.call.Err, "Going on without %s\n", view.Clean(err.Error()))
	}
	return nil
}

// guest runs a line for the shell in the guest. What it says is in the error,
// if it fails.
func (i *installer) guest(conn *ssh.Conn, stdin io.Reader, line string, args ...string) error {
	var said lastWords
	status, err := conn.Exec(i.call.ctx, ssh.Command{
		Args: append([]string{"sh", "-c", line, "lkup"}, args...), Env: []string{agentPath, "HOME=/root"}, Stdin: stdin, Stdout: &said, Stderr: &said,
	})
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
		if text := strings.TrimSpace(string(said)); text != "" {
			err = fmt.Errorf("%w: %s", err, view.Clean(text))
		}
	}
	return err
}

// lastWords are the end of what a program says.
type lastWords []byte

func (l *lastWords) Write(p []byte) (int, error) {
	all := append(*l, p...)
	*l = slices.Clone(all[max(0, len(all)-1000):])
	return len(p), nil
}
