package download

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// part is a file that is on its way. It lies at a place that its URL decides,
// beside a note of what it is a part of, so that another process can go on
// with it.
type part struct {
	note
	path, notePath string
	size           int64
	joined         bool // it is of several answers
	store          *store.Store
}

// note is written before the first byte of what it is about.
type note struct {
	URL string `json:"url"`
	Validator
	Total int64 `json:"total,omitempty"` // bytes; 0 if the server did not say
}

// openPart finds what an earlier attempt left, if it can be gone on with.
func openPart(s *store.Store, r Request) (*part, error) {
	dir := s.Dir(store.Downloads)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, store.Key("download", r.URL).Hex())
	p := &part{path: name + ".part", notePath: name + ".json", store: s}
	content, err := os.ReadFile(p.notePath)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	info, missing := os.Stat(p.path)
	if err != nil || missing != nil || json.Unmarshal(content, &p.note) != nil || p.URL != r.URL || !p.resumable(r) {
		return p, p.discard()
	}
	p.size = info.Size()
	return p, nil
}

// resumable reports whether it would show if the rest were of another content:
// by the server's word, or by the digest.
func (p *part) resumable(r Request) bool { return p.condition() != "" || r.Want != "" }

// condition is what If-Range may be: weak ETags do not tell bytes apart.
func (v Validator) condition() string {
	if v.ETag != "" && !strings.HasPrefix(v.ETag, "W/") {
		return v.ETag
	}
	return v.LastModified
}

// discard forgets what came.
func (p *part) discard() error {
	p.note, p.size, p.joined = note{}, 0, false
	for _, path := range []string{p.path, p.notePath} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// begin starts anew.
func (p *part) begin(n note) error {
	if err := p.discard(); err != nil {
		return err
	}
	content, err := json.Marshal(n)
	if err != nil {
		return err
	}
	p.note = n
	return renameio.WriteFile(p.notePath, content, 0o600)
}

// open opens the part to append to it.
func (p *part) open() (*os.File, error) {
	return os.OpenFile(p.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// adopt makes the whole part a blob. One of another digest leaves nothing.
func (p *part) adopt(want sources.Digest) (sources.Digest, error) {
	file, err := p.open() // an empty file was never written to
	if err != nil {
		return "", err
	}
	if err := file.Close(); err != nil {
		return "", err
	}
	d := want
	if d == "" {
		if d, err = store.FileDigest(p.path); err != nil {
			return "", err
		}
	}
	adopting := p.store.Adopt(p.path, d)
	if adopting == nil {
		return d, os.Remove(p.notePath)
	}
	got, err := store.FileDigest(p.path)
	if err == nil && got != d {
		adopting = &MismatchError{Got: got, Want: d}
	}
	return "", errors.Join(adopting, p.discard())
}
