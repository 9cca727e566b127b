package ssh

import (
	"fmt"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"github.com/lkup/lkup/drivers"
)

// login is how to get into one guest: as whom, with which key, and by which key
// of its own it is known. Nothing is ever learned from the guest.
type login struct {
	user       string
	client     ssh.Signer
	clientPath string
	host       ssh.PublicKey
	// plain is false for servers of which lkup knows nothing but their key.
	plain bool
}

// loginOf reads the keys of a machine that Prepare has seen.
func loginOf(m drivers.Machine) (login, error) {
	l := login{user: m.Login.User, clientPath: filepath.Join(m.Dir, clientKeyFile)}
	if l.user == "" {
		l.user = "root"
	}
	if m.Login.PrivateKey == "" {
		k, err := readKeys(m.Dir)
		if err != nil {
			return login{}, err
		}
		l.client, l.host, l.plain = k.client, k.host.PublicKey(), true
		return l, nil
	}
	var err error
	if l.host, err = ParseHostKey(m.Login.HostKey); err != nil {
		return login{}, err
	}
	l.clientPath = m.Login.PrivateKey
	l.client, _, err = readKey(m.Login.PrivateKey)
	return l, err
}

// ParseHostKey reads a public key as known_hosts and .pub files have it.
func ParseHostKey(line string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, fmt.Errorf("read the host key: %w", err)
	}
	return key, nil
}

// ReadPrivateKey reports whether a file holds a private key that needs no
// passphrase.
func ReadPrivateKey(path string) error {
	_, _, err := readKey(path)
	return err
}

// config is what the handshake goes by.
func (l login) config() *ssh.ClientConfig {
	c := &ssh.ClientConfig{
		User:              l.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(l.client)},
		HostKeyCallback:   ssh.FixedHostKey(l.host),
		HostKeyAlgorithms: []string{l.host.Type()},
	}
	if l.host.Type() == ssh.KeyAlgoRSA { // the key's type is that of signatures that nobody trusts any more
		c.HostKeyAlgorithms = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	if l.plain { // the cheapest key exchange: an emulated guest does it in software
		c.KeyExchanges = []string{ssh.KeyExchangeCurve25519}
	}
	return c
}
