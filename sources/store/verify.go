package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lkup/lkup/sources"
)

// sum records what a result's files are before it takes its place, because its
// key says only what it was made from.
func (s *Store) sum(key sources.Digest, dir string) error {
	sums, err := sumsOf(dir)
	if err != nil {
		return err
	}
	content, err := json.Marshal(sums)
	if err != nil {
		return err
	}
	return os.WriteFile(s.sumsPath(key), content, 0o600)
}

func (s *Store) sumsPath(key sources.Digest) string {
	return filepath.Join(s.dir, "sums", key.Hex()+".json")
}

// sumsOf are the digests of all files below dir, by their paths.
func sumsOf(dir string) (map[string]sources.Digest, error) {
	sums := map[string]sources.Digest{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		sums[filepath.ToSlash(name)], err = FileDigest(path)
		return err
	})
	return sums, err
}

// Damage is what is wrong with an entry.
type Damage struct {
	Digest sources.Digest
	Path   string // of the file; empty if the entry as a whole is meant
	What   string
}

// ErrUnsummed says that an entry cannot be verified: it was built by an lkup
// that recorded no digests of results, or the record is lost.
var ErrUnsummed = errors.New("nothing is recorded to compare it with")

// Verify reads an entry whole and says what of it is not as it was stored.
func (s *Store) Verify(d sources.Digest) ([]Damage, error) {
	if !d.Valid() {
		return nil, fmt.Errorf("verify: %q is not a digest", d)
	}
	var damages []Damage
	if _, err := os.Lstat(s.blobPath(d)); err == nil {
		got, err := FileDigest(s.blobPath(d))
		if err != nil {
			damages = append(damages, Damage{d, s.blobPath(d), "cannot be read: " + err.Error()})
		} else if got != d {
			damages = append(damages, Damage{d, s.blobPath(d), "has other content, of digest " + string(got)})
		}
	}
	if _, err := os.Lstat(s.builtDir(d)); err != nil {
		return damages, nil // it is a content alone
	}
	content, err := os.ReadFile(s.sumsPath(d))
	var want map[string]sources.Digest
	if err != nil || json.Unmarshal(content, &want) != nil {
		return damages, ErrUnsummed
	}
	more, err := s.compare(d, want)
	return append(damages, more...), err
}

func (s *Store) compare(d sources.Digest, want map[string]sources.Digest) ([]Damage, error) {
	dir := s.builtDir(d)
	got, err := sumsOf(dir)
	if err != nil {
		return []Damage{{d, dir, "cannot be read: " + err.Error()}}, nil
	}
	var damages []Damage
	for name, sum := range want {
		path := filepath.Join(dir, filepath.FromSlash(name))
		switch now, there := got[name]; {
		case !there:
			damages = append(damages, Damage{d, path, "is missing"})
		case now != sum:
			damages = append(damages, Damage{d, path, "has other content, of digest " + string(now)})
		}
		delete(got, name)
	}
	for name := range got {
		damages = append(damages, Damage{d, filepath.Join(dir, filepath.FromSlash(name)), "does not belong there"})
	}
	slices.SortFunc(damages, func(a, b Damage) int { return strings.Compare(a.Path, b.Path) })
	return damages, nil
}
