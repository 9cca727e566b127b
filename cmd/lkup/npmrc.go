package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/lkup/lkup/sources/download"
)

// npmRegistry is where packages of npm come from unless the user says
// otherwise.
const npmRegistry = "https://registry.npmjs.org/"

// npmSettings are the user's for npm: those of the environment and of the
// .npmrc in the home directory. That of the project is not read: what works on
// the project could write it.
type npmSettings map[string]string

func readNpmSettings(host Host) (npmSettings, error) {
	all := npmSettings{"registry": npmRegistry}
	content, err := os.ReadFile(filepath.Join(host.Home, ".npmrc"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read npm's settings: %w", err)
	}
	variable := regexp.MustCompile(`\$\{([^}]+)\}`)
	for line := range strings.Lines(string(content)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, ";") || strings.HasPrefix(name, "#") {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"'`)
		all[strings.TrimSpace(name)] = variable.ReplaceAllStringFunc(value, func(s string) string { return host.Getenv(s[2 : len(s)-1]) })
	}
	for _, name := range []string{"NPM_CONFIG_REGISTRY", "npm_config_registry"} {
		if value := host.Getenv(name); value != "" {
			all["registry"] = value
		}
	}
	for name, value := range all {
		if name != "registry" && !strings.HasSuffix(name, ":registry") {
			continue
		}
		if _, err := download.Parse(value); err != nil {
			return nil, fmt.Errorf("npm's setting %s=%s: %w", name, download.Shown(value), err)
		}
	}
	return all, nil
}

// registry is that of a package: its scope's, if that has one.
func (s npmSettings) registry(name string) *url.URL {
	scope, _, _ := strings.Cut(name, "/")
	at := s["registry"]
	if own := s[scope+":registry"]; strings.HasPrefix(scope, "@") && own != "" {
		at = own
	}
	u, err := url.Parse(at)
	if err != nil {
		panic(err) // parsed before
	}
	return u
}

// token is the one for a URL: it is kept for a host and the beginning of a path.
func (s npmSettings) token(u *url.URL) string {
	found, length := "", 0
	for name, value := range s {
		prefix, ok := strings.CutSuffix(name, ":_authToken")
		if ok && len(prefix) > length && strings.HasPrefix("//"+u.Host+u.Path, strings.TrimSuffix(prefix, "/")+"/") {
			found, length = value, len(prefix)
		}
	}
	return found
}
