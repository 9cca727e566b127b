package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
)

// dropbearKey FILE makes a host key as Dropbear keeps it, and FILE.pub.
func dropbearKey(ts *testscript.TestScript, _ bool, args []string) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	key := ssh.Marshal(struct {
		Kind string
		Key  []byte // both halves
	}{ssh.KeyAlgoED25519, private})
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), key, 0o600))
	line, err := ssh.NewPublicKey(public)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".pub"), ssh.MarshalAuthorizedKey(line), 0o600))
}
