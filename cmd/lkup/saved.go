package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// save writes the plan so that apply can tell whether anything it rests on moved.
func (d *decision) save(path string) error {
	p := d.project
	files, err := fingerprints(p.root.FS(), p.stack.Files)
	if err != nil {
		return err
	}
	content, err := planner.Encode(planner.Saved{
		Version: version,
		Stack:   p.stack.Name,
		StackID: p.paths.ID,
		Project: p.dir,
		Lineage: d.state.Lineage,
		Serial:  d.state.Serial,
		Files:   files,
		Images:  p.stack.Images,
		Volumes: p.stack.Volumes,
		Sources: d.sources,
		Recipes: d.pinned.recipes,
		Plan:    *d.plan,
	})
	if err != nil {
		return err
	}
	if err := state.WriteFile(path, content, 0o600); err != nil {
		return fmt.Errorf("save the plan: %w", err)
	}
	return nil
}

// readSaved reads a plan that save wrote.
func readSaved(path string) (planner.Saved, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return planner.Saved{}, fmt.Errorf("there is no saved plan %s; make one with: lkup plan --out %s", path, path)
	}
	if err != nil {
		return planner.Saved{}, err
	}
	saved, err := planner.Decode(content)
	if err != nil {
		return planner.Saved{}, fmt.Errorf("read %s: %w", path, err)
	}
	return saved, nil
}

// stillHolds says what has moved since a plan was saved.
func stillHolds(ctx context.Context, saved planner.Saved, known state.State, images *imageSources) error {
	if known.Lineage != saved.Lineage {
		return errors.New("the stack's state was made anew")
	}
	if known.Serial != saved.Serial {
		return errors.New("the stack was changed by another apply")
	}
	root, err := os.OpenRoot(saved.Project)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range sortedKeys(saved.Files) {
		now, err := fingerprints(root.FS(), []string{name})
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is gone", name)
		}
		if err != nil {
			return err
		}
		if now[name] != saved.Files[name] {
			return fmt.Errorf("%s has changed", name)
		}
	}
	return sameDigests(ctx, saved, known, images)
}

// sameDigests resolves again what the plan's machines are to be made from.
func sameDigests(ctx context.Context, saved planner.Saved, known state.State, images *imageSources) error {
	now := map[spec.Address]sources.Digest{}
	for _, s := range saved.Plan.Steps {
		if s.Want == nil || s.Action == planner.NoOp || s.Action == planner.Update || s.Digest == "" {
			continue
		}
		a := s.Want.Image
		if _, resolved := now[a]; !resolved {
			d, err := images.Describe(ctx, saved.Images[a])
			if err != nil {
				return fmt.Errorf("%s: %w", a, err)
			}
			now[a] = keepDigest(a, d, known, images.templates.Stored)
		}
		if now[a] != s.Digest {
			return fmt.Errorf("%s has changed: it was sha256:%s, and now is sha256:%s", a, s.Digest.Short(), now[a].Short())
		}
	}
	return nil
}

// fingerprints are the digests of files.
func fingerprints(project fs.FS, names []string) (map[string]string, error) {
	sums := make(map[string]string, len(names))
	for _, name := range names {
		content, err := fs.ReadFile(project, name)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(content)
		sums[name] = hex.EncodeToString(sum[:])
	}
	return sums, nil
}
