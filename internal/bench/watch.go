package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// watchedFiles is how many files lie in the project, in watchedDirs directories.
	watchedFiles = 10000
	watchedDirs  = 100
	// watchIdle is how long lkup watch is left alone to see what it costs, after
	// watchSettles, in which it looks at everything once more.
	watchIdle    = 10 * time.Second
	watchSettles = 3 * time.Second
	// watchPatience is how long one effect may take.
	watchPatience = 2 * time.Minute
)

// measureWatch measures, with 10,000 files in the project, from when a file is
// saved until a program in the guest sees it, and until the plan of a changed
// stack file is shown; and what lkup watch costs while nothing happens.
func measureWatch(ctx context.Context, l lkup, r *report, rounds int) (err error) {
	if runtime.GOOS != "linux" {
		r.title("watch: measured on Linux only, because it reads /proc")
		return nil
	}
	project, err := l.project("watch", watchedProject())
	if err != nil {
		return err
	}
	defer func() {
		_, _, failed := l.run(context.WithoutCancel(ctx), project, "down", "-y")
		err = errors.Join(err, failed)
	}()
	w, err := startWatch(ctx, l, project)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.end()) }()
	guest, err := watchGuest(ctx, l, project)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, guest.end()) }()
	idle, err := w.idle(ctx)
	if err != nil {
		return err
	}
	var synced, planned samples
	for n := range 3 * rounds {
		took, err := guest.sees(project, fmt.Sprintf("text %d", n))
		if err != nil {
			return err
		}
		synced = append(synced, took)
		if took, err = w.plans(project, n); err != nil {
			return err
		}
		planned = append(planned, took)
	}
	r.title(fmt.Sprintf("lkup watch, %d files in the project, from a save", watchedFiles))
	r.times("the guest has the file", synced)
	r.times("the plan is shown", planned)
	r.atMost("the guest has the file", synced.median().Seconds(), 0.3, " s")
	r.atMost("the plan is shown", planned.median().Seconds(), 0.2, " s")
	r.atMost("processor time while nothing happens", 100*idle, 1, " %")
	return nil
}

func watchedProject() map[string]string {
	files := map[string]string{"lkup.hcl": watchedStack("first"), "site/page": "text\n", ".gitignore": "*.o\n/dist/\nnode_modules/\n"}
	for n := range watchedFiles {
		files[fmt.Sprintf("src/%d/%d.go", n%watchedDirs, n)] = "package src\n"
	}
	return files
}

// watchedStack is a stack with another output for each mark, so that there is
// a plan to show that leaves the machine alone.
func watchedStack(mark string) string {
	return `stack "bench" {}

vm "web" {
  image  = "builtin:minimal"
  memory = "192MiB"
  watch {
    paths  = ["site/**"]
    action = "sync"
    target = "/srv"
  }
}

vm "off" {
  image   = "builtin:minimal"
  running = false
  env     = { MARK = "` + mark + `" }
}
`
}

// save puts a file in its place as editors do.
func save(name, text string) error {
	beside := name + "~"
	if err := os.WriteFile(beside, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(beside, name)
}

// lines are what a program says, to be waited for.
type lines struct {
	mu   sync.Mutex
	said strings.Builder
	more chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, err := l.said.Write(p)
	select {
	case l.more <- struct{}{}:
	default:
	}
	return n, err
}

// has waits until a text was said so many times.
func (l *lines) has(text string, times int, ended <-chan struct{}) error {
	limit := time.NewTimer(watchPatience)
	defer limit.Stop()
	for {
		l.mu.Lock()
		said := l.said.String()
		l.mu.Unlock()
		if strings.Count(said, text) >= times {
			return nil
		}
		select {
		case <-l.more:
		case <-ended:
			return fmt.Errorf("it ended without saying %q:\n%s", text, said)
		case <-limit.C:
			return fmt.Errorf("it did not say %q:\n%s", text, said)
		}
	}
}

// program is a running one, with all it says in one place.
type program struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  *lines
	ended chan struct{}
}

func startProgram(ctx context.Context, l lkup, args ...string) (*program, error) {
	p := &program{cmd: exec.CommandContext(ctx, l.binary, args...), said: &lines{more: make(chan struct{}, 1)}, ended: make(chan struct{})}
	p.cmd.Env = l.env()
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // interrupted in the end: its status says nothing
		close(p.ended)
	}()
	return p, nil
}

func (p *program) end() error {
	err := p.cmd.Process.Signal(os.Interrupt)
	p.stdin.Close()
	<-p.ended
	if errors.Is(err, os.ErrProcessDone) {
		return errors.New("lkup ended by itself")
	}
	return err
}

// startWatch starts lkup watch and waits until it has applied the stack.
func startWatch(ctx context.Context, l lkup, project string) (*program, error) {
	p, err := startProgram(ctx, l, "watch", "-y", "-C", project)
	if err != nil {
		return nil, err
	}
	if err := p.said.has("watching: ", 1, p.ended); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// plans saves another stack file, and waits for the plan and for its end.
func (p *program) plans(project string, n int) (time.Duration, error) {
	mark := fmt.Sprintf("mark %d.", n)
	began := time.Now()
	if err := save(filepath.Join(project, "lkup.hcl"), watchedStack(mark)); err != nil {
		return 0, err
	}
	if err := p.said.has(mark, 1, p.ended); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, p.said.has(" applied: ", n+2, p.ended) // the first was before all
}

// idle is the share of one processor that the program takes while nothing
// happens.
func (p *program) idle(ctx context.Context) (float64, error) {
	if err := pause(ctx, watchSettles); err != nil {
		return 0, err
	}
	before, err := processorTime(p.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	if err := pause(ctx, watchIdle); err != nil {
		return 0, err
	}
	after, err := processorTime(p.cmd.Process.Pid)
	return (after - before).Seconds() / watchIdle.Seconds(), err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// guestEye is a program in the guest that says what a file holds.
type guestEye struct{ *program }

// watchGuest has the guest say the file's text whenever it is another one. It
// looks a hundred times a second, which is part of what is measured.
func watchGuest(ctx context.Context, l lkup, project string) (guestEye, error) {
	const look = `while :; do read -r now < /srv/page; [ "$now" = "$was" ] || echo "has $now."; was=$now; usleep 10000; done`
	p, err := startProgram(ctx, l, "exec", "-C", project, "web", "--", "sh", "-c", look)
	if err != nil {
		return guestEye{}, err
	}
	return guestEye{p}, p.said.has("has text.", 1, p.ended)
}

// sees saves the file, and waits until the guest has it.
func (g guestEye) sees(project, text string) (time.Duration, error) {
	began := time.Now()
	if err := save(filepath.Join(project, "site", "page"), text+"\n"); err != nil {
		return 0, err
	}
	err := g.said.has("has "+text+".", 1, g.ended)
	return time.Since(began), err
}

// processorTime is what a process has used so far, in steps of a tick.
func processorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return ticks(string(text))
}

// ticks reads the user and system time of a line of /proc/PID/stat: the 12th
// and 13th field after the program's name, which may hold anything.
func ticks(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("no times in %q", stat)
	}
	user, errU := strconv.Atoi(fields[11])
	system, errS := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond // Linux has shown hundredths for ever
	return time.Duration(user+system) * tick, errors.Join(errU, errS)
}
