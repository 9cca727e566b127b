package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// bootPatience is how long one boot may take.
const bootPatience = 2 * time.Minute

// measureBoots compares `lkup apply`, from exec to exit, with QEMU started by
// hand, from exec to the first answer over HTTP.
func measureBoots(ctx context.Context, l lkup, r *report, rounds int) (err error) {
	if runtime.GOOS != "linux" {
		r.title("boots: measured on Linux only, because it reads /proc")
		return nil
	}
	project, err := l.project("boot", bootStack())
	if err != nil {
		return err
	}
	down := func() error {
		_, _, err := l.run(context.WithoutCancel(ctx), project, "down", "-y")
		return err
	}
	defer func() { err = errors.Join(err, down()) }()
	kept := keepSeeds(l)
	// The first one downloads and builds.
	_, _, err = l.run(ctx, project, "apply", "-y")
	if err := errors.Join(err, kept()); err != nil {
		return err
	}
	same, err := capture(l)
	if err != nil {
		return err
	}
	plain, err := same.plain(ctx, l)
	if err != nil {
		return err
	}
	if err := measureIdle(ctx, l, r, project, rounds); err != nil {
		return err
	}
	var applied, bare, defaults samples
	for range rounds {
		if err := down(); err != nil {
			return err
		}
		took, err := same.boot(ctx)
		if err != nil {
			return err
		}
		bare = append(bare, took)
		if took, err = plain.boot(ctx); err != nil {
			return err
		}
		defaults = append(defaults, took)
		if _, took, err = l.run(ctx, project, "apply", "-y"); err != nil {
			return err
		}
		applied = append(applied, took)
	}
	r.title("from exec to a page served by the guest, one VM of 256 MiB with a 9p share")
	r.times("lkup apply (to ready)", applied)
	r.times("bare QEMU, same files and arguments", bare)
	r.times("q35, vmlinuz, gzip initrd, default devices", defaults)
	r.atMost("lkup apply / bare QEMU", ratio(applied, bare), 1.25, "")
	r.atMost("lkup apply / vmlinuz, gzip, default devices", ratio(applied, defaults), 0.6, "")
	return nil
}

// measureIdle looks at what stays behind after an apply, and at a second one.
func measureIdle(ctx context.Context, l lkup, r *report, project string, rounds int) error {
	all, err := processes()
	if err != nil {
		return err
	}
	count, bytes := 0, int64(0)
	for _, p := range all {
		if p.exe == l.binary {
			count++
			bytes += p.resident
		}
	}
	var again samples
	for range rounds {
		_, took, err := l.run(ctx, project, "apply", "-y")
		if err != nil {
			return err
		}
		again = append(again, took)
	}
	r.title("after apply")
	r.atMost("processes of lkup", float64(count), 0, "")
	r.atMost("resident memory of lkup", float64(bytes)/(1<<20), 0, " MiB")
	r.times("lkup apply, nothing to do", again)
	r.atMost("lkup apply, nothing to do", again.median().Seconds(), 0.3, " s")
	return nil
}

func bootStack() map[string]string {
	return map[string]string{
		"lkup.hcl": `stack "bench" {}

template "web" {
  file = "web.yml"
}

vm "web" {
  image  = template.web
  memory = "256MiB"
  port {
    guest = 80
    host  = "auto"
  }
  share {
    host  = "./site"
    guest = "/srv/www"
  }
  ready {
    http = "http://localhost:80/"
  }
}
`,
		"web.yml": `kernel:
  image: builtin:kernel
init:
  - builtin:init
  - apt:busybox-static
  - apt:runc
services:
  - name: httpd
    image: apt:busybox-static
    command: ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/srv/www"]
    capabilities: [CAP_NET_BIND_SERVICE]
    binds: ["/srv/www:/srv/www"]
`,
		"site/index.html": "ready\n",
	}
}

// machine is a QEMU to be started by hand.
type machine struct {
	argv     []string
	dir, url string
	scratch  string // what it writes; put back before each boot
	original string
}

// capture takes the command line of the one machine that runs, and copies all
// files of lkup's that it names, so that it can be started after `lkup down`.
func capture(l lkup) (machine, error) {
	p, err := machineOf(l.dir)
	if err != nil {
		return machine{}, err
	}
	m := machine{original: filepath.Join(l.dir, "o"), scratch: filepath.Join(l.dir, "b")}
	if err := os.CopyFS(m.original, os.DirFS(filepath.Join(l.dir, "s"))); err != nil {
		return machine{}, err
	}
	moved := strings.NewReplacer(filepath.Join(l.dir, "s")+"/", m.scratch+"/", filepath.Join(l.dir, "r")+"/", filepath.Join(l.dir, "q")+"/")
	for _, arg := range p.argv {
		// Sockets that lkup hands over open are made by QEMU itself here.
		arg = openSocket.ReplaceAllString(arg, ",path="+filepath.Join(l.dir, "q", "socket$1"))
		m.argv = append(m.argv, moved.Replace(arg))
	}
	m.dir = strings.TrimSuffix(moved.Replace(p.cwd+"/"), "/")
	m.url, err = forwarded(m.argv)
	if err != nil {
		return machine{}, err
	}
	return m, sameFolders(filepath.Join(l.dir, "r"), filepath.Join(l.dir, "q"))
}

// keepSeeds links each initrd with a seed in it to where capture looks for it,
// for lkup takes it away as soon as the machine runs. The function it returns
// ends that.
func keepSeeds(l lkup) func() error {
	done, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-done:
				failed <- nil
				return
			case <-look.C:
				if err := linkSeeds(l.dir); err != nil {
					failed <- err
					return
				}
			}
		}
	}()
	return func() error {
		close(done)
		return <-failed
	}
}

func linkSeeds(dir string) error {
	seeds, err := filepath.Glob(filepath.Join(dir, "r", "*", "*", "seeded.img"))
	if err != nil {
		return err
	}
	for _, seed := range seeds {
		kept := filepath.Join(dir, "q", strings.TrimPrefix(seed, filepath.Join(dir, "r")))
		if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
			return err
		}
		if err := os.Link(seed, kept); err != nil && !errors.Is(err, os.ErrExist) && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

var openSocket = regexp.MustCompile(`,fd=([0-9]+)`)

// sameFolders makes the folders of from below to, without their files.
func sameFolders(from, to string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return os.MkdirAll(filepath.Join(to, relative), 0o700)
	})
}

// forwarded finds the host's end of the forward in "...,hostfwd=tcp:A:P-:80".
func forwarded(argv []string) (string, error) {
	for _, arg := range argv {
		_, rest, found := strings.Cut(arg, "hostfwd=tcp:")
		if address, _, ok := strings.Cut(rest, "-"); found && ok {
			return "http://" + address + "/", nil
		}
	}
	return "", fmt.Errorf("no forward in %s", strings.Join(argv, " "))
}

// boot starts the machine, waits for its page, and ends it.
func (m machine) boot(ctx context.Context) (time.Duration, error) {
	if err := errors.Join(os.RemoveAll(m.scratch), os.CopyFS(m.scratch, os.DirFS(m.original))); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, bootPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.argv[0], m.argv[1:]...) // killed with ctx
	cmd.Dir = m.dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it is killed in the end: its status says nothing
		cancel()
		close(ended)
	}()
	err := answers(ctx, m.url)
	took := time.Since(began)
	cancel()
	<-ended
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(m.argv, " "), err, stderr.String())
	}
	return took, nil
}

// answers asks until a page comes. Attempts are short: QEMU accepts a
// connection before the guest listens, and that one is answered late or never.
// They are not many: each costs the emulated guest some time.
func answers(ctx context.Context, url string) error {
	client := http.Client{Timeout: 100 * time.Millisecond, Transport: &http.Transport{DisableKeepAlives: true}}
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		response, err := client.Get(url)
		if err == nil {
			_, _ = io.Copy(io.Discard, response.Body) // drained for politeness
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no page at %s: %w", url, ctx.Err())
		case <-pause.C:
		}
	}
}
