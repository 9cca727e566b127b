package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/spec"
)

// gh is a stand-in for GitHub's program, which has a token unless it has said
// goodbye.
const gh = `#!/bin/sh
[ "$*" = "auth token" ] || { echo "gh $*?" >&2; exit 2; }
[ ! -e goodbye ] || { echo "no oauth token found for github.com" >&2; exit 1; }
echo gho-of-gh
`

func TestAnAgentsTokenIsThatOfGH(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	token := func(dir string, environment map[string]string) ([]string, error) {
		p := &project{dir: dir, host: Host{Getenv: func(name string) string { return environment[name] }, Environ: []string{"PATH=/usr/bin:/bin"}}}
		auth, err := p.agentAuth(t.Context(), spec.Agent{Name: "stub", Auth: []string{"gh"}})
		return auth.env, err
	}
	without := `auth "gh" of agent stub: there is no token: export GH_TOKEN=..., or type gh auth login (`
	if env, err := token(t.TempDir(), nil); err == nil || !strings.HasPrefix(err.Error(), without) || len(env) != 0 {
		t.Errorf("without gh: %q, %v", env, err)
	}
	if err := os.WriteFile(filepath.Join(bin, "gh"), []byte(gh), 0o700); err != nil {
		t.Fatal(err)
	}
	for want, environment := range map[string]map[string]string{"GH_TOKEN=gho-of-gh": nil, "GH_TOKEN=exported": {"GH_TOKEN": "exported"}} {
		env, err := token(t.TempDir(), environment)
		if diff := cmp.Diff([]string{want}, env); diff != "" || err != nil {
			t.Errorf("%v\n-want +got\n%s", err, diff)
		}
	}
	dir := t.TempDir() // where gh has no token
	if err := os.WriteFile(filepath.Join(dir, "goodbye"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if env, err := token(dir, nil); err == nil || !strings.HasPrefix(err.Error(), without) || len(env) != 0 {
		t.Errorf("after gh auth logout: %q, %v", env, err)
	}
}
