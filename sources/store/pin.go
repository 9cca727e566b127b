package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/lkup/lkup/sources"
)

// pin is the file of one pin. Ref is there for people.
type pin struct {
	Ref    string         `json:"ref"`
	Digest sources.Digest `json:"digest"`
}

// Pinned is the digest that ref was last resolved to in these circumstances:
// whatever besides ref decides the outcome, such as the architecture and the
// host's package sources. An unreadable pin counts as none, since resolving
// again mends it.
func (s *Store) Pinned(ref string, circumstances ...string) (sources.Digest, bool) {
	d := pinnedIn(s.pinPath(ref, circumstances))
	return d, d != ""
}

// pinnedIn is the digest in the file of a pin, or empty.
func pinnedIn(path string) sources.Digest {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	var p pin
	if json.Unmarshal(content, &p) != nil || !p.Digest.Valid() {
		return ""
	}
	return p.Digest
}

// Pin records what ref resolves to.
func (s *Store) Pin(d sources.Digest, ref string, circumstances ...string) error {
	content, err := json.Marshal(pin{Ref: ref, Digest: d})
	if err != nil {
		return fmt.Errorf("pin %s: %w", ref, err)
	}
	if err := renameio.WriteFile(s.pinPath(ref, circumstances), append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("pin %s: %w", ref, err)
	}
	return nil
}

// Unpin forgets what ref resolves to, so that it is resolved anew.
func (s *Store) Unpin(ref string, circumstances ...string) error {
	if err := os.Remove(s.pinPath(ref, circumstances)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("unpin %s: %w", ref, err)
	}
	return nil
}

func (s *Store) pinPath(ref string, circumstances []string) string {
	key := Key(append([]string{"pin", ref}, circumstances...)...)
	return filepath.Join(s.dir, "pins", key.Hex()+".json")
}
