package ssh_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kdomanski/iso9660"
	gossh "golang.org/x/crypto/ssh"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/ssh"
	"github.com/lkup/lkup/spec"
)

// lineOf is the public half of a private key.
func lineOf(t *testing.T, path string) string {
	t.Helper()
	private, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(gossh.MarshalAuthorizedKey(signer.PublicKey())))
}

// named is a machine of which lkup has no keys: those of another are named.
func named(t *testing.T, served drivers.Machine, hostKey string) drivers.Machine {
	t.Helper()
	m := served
	m.Dir = t.TempDir()
	m.Login = drivers.Login{User: "admin", PrivateKey: filepath.Join(served.Dir, "id_ed25519"), HostKey: hostKey}
	access := ssh.Access{Rand: rand.Reader, Now: time.Now}
	initrds, err := access.Prepare(t.Context(), m, spec.VM{SSH: spec.Login{User: "admin"}})
	if err != nil || len(initrds) > 0 {
		t.Fatalf("prepare: %q, %v", initrds, err)
	}
	return m
}

func TestALoginIsWithTheKeysThatAreNamed(t *testing.T) {
	served := serve(t, "/bin/sh")
	m := named(t, served, lineOf(t, filepath.Join(served.Dir, "ssh_host_ed25519_key")))
	status, output, err := connect(t, m).Run(t.Context(), []string{"echo", "in"})
	if err != nil || status != 0 || string(output) != "in\n" {
		t.Errorf("status %d, %q, %v", status, output, err)
	}
	config, err := ssh.Config(m, "web")
	if err != nil || !strings.Contains(config, "User admin\n") || !strings.Contains(config, m.Login.PrivateKey) {
		t.Errorf("%v\n%s", err, config)
	}
	for _, name := range []string{"id_ed25519", "ssh_host_ed25519_key"} {
		if _, err := os.Stat(filepath.Join(m.Dir, name)); err == nil {
			t.Errorf("%s was made, which nobody takes", name)
		}
	}
}

func TestAnotherHostKeyThanTheNamedOneIsRefused(t *testing.T) {
	served := serve(t, "/bin/sh")
	m := named(t, served, lineOf(t, filepath.Join(served.Dir, "id_ed25519")))
	if conn, err := ssh.Connect(t.Context(), m); err == nil {
		_ = conn.Close()
		t.Error("it got in")
	}
}

// TestTheSeedHoldsTheKeysOfItsMachine reads what cloud-init will.
func TestTheSeedHoldsTheKeysOfItsMachine(t *testing.T) {
	m := machine(t, 2222)
	m.Disc, m.Login.User = filepath.Join(m.Dir, "seed.iso"), "debian"
	vm := spec.VM{Seed: spec.Seed{User: "debian", AuthorizedKeys: []string{"ssh-ed25519 AAAA me"}}}
	access := ssh.Access{Rand: rand.Reader, Now: time.Now}
	if initrds, err := access.Prepare(t.Context(), m, vm); err != nil || len(initrds) > 0 {
		t.Fatalf("prepare: %q, %v", initrds, err)
	}
	first := userData(t, m.Disc)
	for _, want := range []string{
		lineOf(t, filepath.Join(m.Dir, "id_ed25519")), lineOf(t, filepath.Join(m.Dir, "ssh_host_ed25519_key")), "ssh-ed25519 AAAA me", `"debian"`,
	} {
		if !strings.Contains(first, want) {
			t.Errorf("the user-data has no %s", want)
		}
	}
	info, err := os.Stat(m.Disc)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the disc: %v, %v", info.Mode(), err)
	}
	if _, err := access.Prepare(t.Context(), m, vm); err != nil || userData(t, m.Disc) != first {
		t.Errorf("the next start says something else: %v", err)
	}
}

func userData(t *testing.T, disc string) string {
	t.Helper()
	content, err := os.ReadFile(disc)
	if err != nil {
		t.Fatal(err)
	}
	image, err := iso9660.OpenImage(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	root, err := image.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	files, err := root.GetChildren()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Name() == "user-data" {
			text, err := io.ReadAll(f.Reader())
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		}
	}
	t.Fatal("there is no user-data")
	return ""
}
