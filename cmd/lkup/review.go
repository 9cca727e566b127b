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
	"slices"
	"strings"

	"github.com/lkup/lkup/internal/process"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/share"
)

// review is a copy of a directory for somebody who is not trusted to change it,
// and what it was at first. git compares and applies, with records of its own
// and without anybody's settings, so that nothing in the copy is taken for a
// command.
type review struct {
	program   string // git
	dir       string // holds all of it
	original  string
	protected share.Protected
	base      string // git's name for what the copy was
}

func (v *review) copy() string { return filepath.Join(v.dir, "copy") }

// newReview copies a directory, whose name must not be there yet.
func newReview(ctx context.Context, dir, original string, protected []string) (*review, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return nil, errors.New("a review compares by git, which is not here; install it, such as by: apt-get install git")
	}
	if rel, err := filepath.Rel(original, dir); err == nil && filepath.IsLocal(rel) {
		return nil, fmt.Errorf("%s, where lkup keeps its state, is in the project itself, so that no copy of that can be made; set LKUP_STATE_DIR", dir)
	}
	v := &review{program: program, dir: dir, original: original, protected: share.NewProtected(protected)}
	if err := os.MkdirAll(v.copy(), 0o700); err != nil {
		return nil, fmt.Errorf("copy %s: %w", original, err)
	}
	out, err := process.Command(ctx, "cp", "-RpP", original+"/.", v.copy()).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("copy %s to %s: %w: %s", original, v.copy(), err, bytes.TrimSpace(out))
	}
	if _, err := v.git(ctx, v.copy(), nil, "init", "-q"); err != nil {
		return nil, err
	}
	// Bytes are compared, whatever the directory's own attributes say.
	attributes := "* -text -filter -ident -working-tree-encoding\n"
	if err := os.MkdirAll(filepath.Join(v.dir, "git", "info"), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(v.dir, "git", "info", "attributes"), []byte(attributes), 0o600); err != nil {
		return nil, err
	}
	v.base, err = v.tree(ctx)
	return v, err
}

// git runs git in a directory, with the records of the review.
func (v *review) git(ctx context.Context, worktree string, in io.Reader, args ...string) ([]byte, error) {
	args = append([]string{
		"-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false", "-c", "core.autocrlf=false", "-c", "diff.ignoreSubmodules=all",
		"-c", "core.quotePath=false", "-c", "core.excludesFile=" + os.DevNull, "-c", "advice.addEmbeddedRepo=false", "-c", "gc.auto=0",
	}, args...)
	cmd := process.Command(ctx, v.program, args...)
	cmd.Dir, cmd.Stdin = worktree, in
	cmd.Env = []string{
		"HOME=" + v.dir, "LC_ALL=C", "GIT_DIR=" + filepath.Join(v.dir, "git"), "GIT_WORK_TREE=" + worktree,
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_ATTR_NOSYSTEM=1",
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("git %s in %s: %w: %s", args[slices.Index(args, "gc.auto=0")+1], worktree, err, bytes.TrimSpace(said.Bytes()))
	}
	return out.Bytes(), nil
}

// tree gives git's name for what the copy is now, without what it ignores.
func (v *review) tree(ctx context.Context) (string, error) {
	if _, err := v.git(ctx, v.copy(), nil, "add", "-A"); err != nil {
		return "", err
	}
	name, err := v.git(ctx, v.copy(), nil, "write-tree")
	return strings.TrimSpace(string(name)), err
}

// changes are what was done in the copy.
type changes struct {
	text  []byte   // for people
	patch []byte   // for git, with all of binary files
	kept  []string // changed files that are protected, which neither has
}

// changes compares the copy with what it was.
func (v *review) changes(ctx context.Context) (changes, error) {
	var c changes
	now, err := v.tree(ctx)
	if err != nil {
		return c, err
	}
	compare := []string{"diff", "--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--full-index"}
	names, err := v.git(ctx, v.copy(), nil, append(compare, "--name-only", "-z", v.base, now)...)
	if err != nil {
		return c, err
	}
	only := []string{v.base, now, "--", "."}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if v.protected.Covers(name) {
			c.kept = append(c.kept, name)
			only = append(only, ":(exclude,literal)"+name)
		}
	}
	if c.text, err = v.git(ctx, v.copy(), nil, append(compare, only...)...); err != nil {
		return c, err
	}
	c.patch, err = v.git(ctx, v.copy(), nil, append(append(compare, "--binary"), only...)...)
	return c, err
}

// patchFile is where changes are that were not brought back.
func (v *review) patchFile() string { return filepath.Join(v.dir, "changes.patch") }

// bringing is what a person types to do to the original what was done to the
// copy. It names the review's own records: those of a repository that the
// original is a part of would have git leave out all that is not at its top.
func (v *review) bringing() string {
	return ssh.Quote([]string{
		"git", "-C", v.original, "--git-dir=" + filepath.Join(v.dir, "git"), "--work-tree=" + v.original, "apply", "--whitespace=nowarn", v.patchFile(),
	})
}

// apply does to the original what was done to the copy, all of it or nothing.
func (v *review) apply(ctx context.Context, c changes) error {
	_, err := v.git(ctx, v.original, bytes.NewReader(c.patch), "apply", "--whitespace=nowarn", "-")
	return err
}
