package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// buildTemplate is a template of usual size: a kernel, an init, a shell, a
// container runtime, tools, a service and a file of the project.
const buildTemplate = `kernel:
  image: builtin:kernel
init:
  - builtin:init
  - apt:busybox-static
  - apt:runc
  - apt:ca-certificates,curl,openssl
services:
  - name: httpd
    image: apt:busybox-static
    command: ["/bin/busybox", "httpd", "-f", "-p", "80", "-h", "/srv/www"]
    binds: ["/srv/www:/srv/www"]
files:
  - path: srv/www/index.html
    source: index.html
  - path: etc/motd
    contents: "measured\n"
`

// repeats is how often what takes a moment is timed in each round: the first
// after a build shares the disk with what that one still writes.
const repeats = 5

// measureBuilds times lkup image pull, which builds a stack's template: cold
// (everything downloaded, nothing unpacked), with one file of the project
// changed, and unchanged.
func measureBuilds(ctx context.Context, l lkup, r *report, rounds int) error {
	project, err := l.project("builds", map[string]string{
		"lkup.hcl":   "stack \"builds\" {}\n\ntemplate \"web\" {\n  file = \"web.yml\"\n}\n\nvm \"web\" {\n  image = template.web\n}\n",
		"web.yml":    buildTemplate,
		"index.html": "round 0\n",
	})
	if err != nil {
		return err
	}
	if _, _, err := l.run(ctx, project, "image", "pull"); err != nil { // downloads
		return err
	}
	downloaded := l.cache
	var cold, changed, unchanged samples
	for n := range rounds {
		l.cache = filepath.Join(l.dir, fmt.Sprint("cold", n))
		if err := downloadsAlone(filepath.Join(downloaded, "store"), filepath.Join(l.cache, "store")); err != nil {
			return err
		}
		_, took, err := l.run(ctx, project, "image", "pull")
		if err != nil {
			return err
		}
		cold = append(cold, took)
		if err := os.WriteFile(filepath.Join(project, "index.html"), fmt.Appendf(nil, "round %d\n", n+1), 0o644); err != nil {
			return err
		}
		if _, took, err = l.run(ctx, project, "image", "pull"); err != nil {
			return err
		}
		changed = append(changed, took)
		for range repeats {
			if _, took, err = l.run(ctx, project, "image", "pull"); err != nil {
				return err
			}
			unchanged = append(unchanged, took)
		}
		if err := os.RemoveAll(l.cache); err != nil {
			return err
		}
	}
	r.title("lkup image pull of a template with a kernel, an init, five components, a service and files")
	r.times("cold: downloaded, nothing unpacked or built", cold)
	r.times("one file of the project changed", changed)
	r.times("unchanged", unchanged)
	r.atMost("one file changed / cold", ratio(changed, cold), 0.15, "")
	r.atMost("unchanged", unchanged.median().Seconds()*1000, 50, " ms")
	return nil
}

// downloadsAlone makes a store that has what another one downloaded and what
// its refs resolved to, and nothing else.
func downloadsAlone(from, to string) error {
	for _, folder := range []string{"blobs/sha256", "pins"} {
		if err := os.MkdirAll(filepath.Join(to, folder), 0o700); err != nil {
			return err
		}
		names, err := os.ReadDir(filepath.Join(from, folder))
		if err != nil {
			return err
		}
		for _, name := range names {
			old, copied := filepath.Join(from, folder, name.Name()), filepath.Join(to, folder, name.Name())
			if os.Link(old, copied) == nil {
				continue
			}
			content, err := os.ReadFile(old)
			if err = errors.Join(err, os.WriteFile(copied, content, 0o600)); err != nil {
				return err
			}
		}
	}
	return nil
}
