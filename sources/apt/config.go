package apt

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"

	"github.com/lkup/lkup/internal/process"
)

// debianArch is Debian's name of a GOARCH.
func debianArch(arch string) string {
	names := map[string]string{"386": "i386", "arm": "armhf", "ppc64le": "ppc64el"}
	if name, ok := names[arch]; ok {
		return name
	}
	return arch
}

func (h host) config(arch string) string { return filepath.Join(h.dir(arch), "apt.conf") }

// configure writes the private configuration. It replaces the host's apt.conf
// and apt.conf.d as a whole, because those may run hooks on the host, but
// keeps the host's settings for downloads: proxies, certificates, time-outs.
func (h host) configure(ctx context.Context, arch string) error {
	dir := h.dir(arch)
	for _, folder := range []string{"state/lists/partial", "cache/archives/partial", "log", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o700); err != nil {
			return fmt.Errorf("set up a private apt: %w", err)
		}
	}
	acquire, err := h.acquireSettings(ctx)
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(h.config(arch), []byte(h.configText(arch)+acquire), 0o600); err != nil {
		return fmt.Errorf("set up a private apt: %w", err)
	}
	return nil
}

// configText is explained in apt.conf(5). This file is read before the parts,
// and so can turn them off.
func (h host) configText(arch string) string {
	dir, debian := h.dir(arch), debianArch(arch)
	settings := []struct{ name, value string }{
		{"Dir::Etc::parts", dir + "/empty"},
		{"Dir::Etc::main", "/dev/null"},
		{"Dir::Etc::sourcelist", h.etc + "/sources.list"},
		{"Dir::Etc::sourceparts", h.etc + "/sources.list.d"},
		{"Dir::State", dir + "/state"},
		{"Dir::State::lists", dir + "/state/lists"},
		{"Dir::State::status", dir + "/state/status"},
		{"Dir::State::extended_states", dir + "/state/extended_states"},
		{"Dir::Cache", dir + "/cache"},
		{"Dir::Cache::archives", dir + "/cache/archives"},
		{"Dir::Cache::pkgcache", "pkgcache.bin"},
		{"Dir::Cache::srcpkgcache", ""},
		{"Dir::Log", dir + "/log"},
		{"APT::Architecture", debian},
		{"APT::Architectures::", debian},
		{"APT::Install-Recommends", "false"},
		{"APT::Install-Suggests", "false"},
		{"APT::Sandbox::User", ""},
		{"Debug::NoLocking", "true"},
		{"Acquire::Languages", "none"},
		{"Acquire::Retries", "3"},
	}
	var text strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&text, "%s \"%s\";\n", s.name, s.value)
	}
	return text.String()
}

// acquireSettings are the host's settings below Acquire, without the kinds of
// index files, which would only cost downloads.
func (h host) acquireSettings(ctx context.Context) (string, error) {
	cmd := process.Command(ctx, "apt-config", "dump")
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	out, err := output(cmd)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for line := range bytes.Lines(out) {
		name, _, _ := bytes.Cut(line, []byte(" "))
		if keepSetting(string(name)) {
			text.Write(line)
		}
	}
	return text.String(), nil
}

func keepSetting(name string) bool {
	if !strings.HasPrefix(name, "Acquire::") {
		return false
	}
	for _, prefix := range []string{"Acquire::IndexTargets", "Acquire::Languages", "Acquire::Retries", "Acquire::GzipIndexes"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return true
}
