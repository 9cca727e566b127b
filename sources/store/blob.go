package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/lkup/lkup/sources"
)

// Blob is the path of the content with digest d, if it is here.
func (s *Store) Blob(d sources.Digest) (path string, ok bool) {
	if !d.Valid() {
		return "", false
	}
	path = s.blobPath(d)
	return path, touch(path) == nil
}

func (s *Store) blobPath(d sources.Digest) string {
	return filepath.Join(s.dir, "blobs", "sha256", d.Hex())
}

// Put stores content and returns its digest.
func (s *Store) Put(ctx context.Context, content []byte) (sources.Digest, error) {
	sum := sha256.Sum256(content)
	d := sources.Digest("sha256:" + hex.EncodeToString(sum[:]))
	_, err := s.Fetch(ctx, d, func(path string) error { return os.WriteFile(path, content, 0o600) })
	return d, err
}

// Get reads the content with digest d. A missing one is fs.ErrNotExist.
func (s *Store) Get(d sources.Digest) ([]byte, error) {
	if !d.Valid() {
		return nil, fmt.Errorf("read image store: %q is not a digest", d)
	}
	content, err := os.ReadFile(s.blobPath(d))
	if err != nil {
		return nil, fmt.Errorf("read image store: %w", err)
	}
	return content, nil
}

// Fetch returns the path of the content with digest d. If it is not here,
// fetch writes it to a path, once however many ask; content of another digest
// is refused and leaves nothing.
func (s *Store) Fetch(ctx context.Context, d sources.Digest, fetch func(path string) error) (string, error) {
	if path, ok := s.Blob(d); ok {
		return path, nil
	}
	err := s.Locked(ctx, d, func(scratch string) error {
		if _, ok := s.Blob(d); ok {
			return nil
		}
		path := filepath.Join(scratch, "blob")
		if err := fetch(path); err != nil {
			return err
		}
		return s.Adopt(path, d)
	})
	if err != nil {
		return "", err
	}
	return s.blobPath(d), nil
}

// Adopt moves a file, which must lie in a scratch folder of this store, into
// the store if its content has the digest want, else it fails and the file
// stays where it is.
func (s *Store) Adopt(path string, want sources.Digest) error {
	got, err := FileDigest(path)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("content of %s has digest %s, expected %s", filepath.Base(path), got, want)
	}
	if err := errors.Join(sealFile(path), touch(path)); err != nil {
		return fmt.Errorf("store %s: %w", want.Short(), err)
	}
	return move(path, s.blobPath(want))
}

// FileDigest reads a file and returns its digest.
func FileDigest(path string) (sources.Digest, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.CopyBuffer(hash, onlyReader{file}, make([]byte, 1<<20)); err != nil {
		return "", fmt.Errorf("digest %s: %w", path, err)
	}
	return sources.Digest("sha256:" + hex.EncodeToString(hash.Sum(nil))), nil
}

// onlyReader hides WriterTo, so that the large buffer is used.
type onlyReader struct{ io.Reader }

// CopySparse writes r to path and leaves holes where r is zero. It is for
// disk images on file systems that cannot share blocks.
func CopySparse(path string, r io.Reader) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	size, err := copySparse(file, r)
	if err == nil {
		err = file.Truncate(size)
	}
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return fmt.Errorf("copy to %s: %w", path, err)
	}
	return nil
}

func copySparse(file *os.File, r io.Reader) (int64, error) {
	buffer, zeros := make([]byte, 64<<10), make([]byte, 64<<10)
	var at int64
	for {
		n, err := io.ReadFull(r, buffer)
		if n > 0 && !bytes.Equal(buffer[:n], zeros[:n]) {
			if _, err := file.WriteAt(buffer[:n], at); err != nil {
				return at, err
			}
		}
		at += int64(n)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return at, nil
		}
		if err != nil {
			return at, err
		}
	}
}
