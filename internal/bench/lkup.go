package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// lkup runs the binary under measurement, with state of its own.
type lkup struct {
	binary, dir, cache string
}

// env is the environment that keeps this run apart from the user's machines.
func (l lkup) env() []string {
	return append(os.Environ(),
		"LKUP_STATE_DIR="+filepath.Join(l.dir, "s"),
		"LKUP_RUNTIME_DIR="+filepath.Join(l.dir, "r"),
		"LKUP_CACHE_DIR="+l.cache,
	)
}

// run runs one command in a project and says how long it took, exec to exit.
func (l lkup) run(ctx context.Context, project string, args ...string) (string, time.Duration, error) {
	at := slices.Index(args, "--") // what follows is the guest's
	if at < 0 {
		at = len(args)
	}
	args = slices.Insert(slices.Clone(args), at, "-C", project)
	cmd := exec.CommandContext(ctx, l.binary, args...)
	cmd.Env = l.env()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil {
		return "", took, fmt.Errorf("lkup %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), took, nil
}

// project makes a directory with files in it.
func (l lkup) project(name string, files map[string]string) (string, error) {
	dir := filepath.Join(l.dir, "p", name)
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}
