// Package ssh is how lkup gets into guests. Keys are made on the host, for each
// VM its own, and given to the guest; the guest's key is checked strictly and
// nothing is ever learned on first use.
package ssh

import (
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/state"
)

// Files below an instance's directory.
const (
	hostKeyFile   = "ssh_host_ed25519_key"
	clientKeyFile = "id_ed25519"
	knownHosts    = "known_hosts"
	seedFile      = "seed.cpio"
)

// keys are an instance's.
type keys struct {
	host, client ssh.Signer
	hostPEM      []byte
}

// readKeys reads keys that Prepare made.
func readKeys(dir string) (keys, error) {
	host, pem, err := readKey(filepath.Join(dir, hostKeyFile))
	if err != nil {
		return keys{}, err
	}
	client, _, err := readKey(filepath.Join(dir, clientKeyFile))
	return keys{host: host, client: client, hostPEM: pem}, err
}

// makeKeys reads the keys, or makes those that are not there.
func makeKeys(dir string, rand io.Reader) (keys, error) {
	for _, name := range []string{hostKeyFile, clientKeyFile} {
		if err := makeKey(filepath.Join(dir, name), rand); err != nil {
			return keys{}, err
		}
	}
	return readKeys(dir)
}

func makeKey(path string, rand io.Reader) error {
	_, err := os.Stat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, private, err := ed25519.GenerateKey(rand)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "lkup")
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	return state.WriteFile(path, pem.EncodeToMemory(block), 0o600)
}

func readKey(path string) (ssh.Signer, []byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(content)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	return signer, content, nil
}

// publicLine is a key as authorized_keys and known_hosts have it.
func publicLine(s ssh.Signer) string { return keyLine(s.PublicKey()) }

func keyLine(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// hostAlias is the name under which known_hosts has an instance. Ports change;
// this does not.
func hostAlias(m drivers.Machine) string { return "lkup-" + m.ID }
