package ssh_test

import (
	"strings"

	"golang.org/x/crypto/ssh"
)

// parse gives a private key's public half, as authorized_keys has it.
func parse(private []byte) (string, error) {
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), nil
}
