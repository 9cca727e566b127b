package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNpmsSettingsAreTheUsers(t *testing.T) {
	home := t.TempDir()
	environment := map[string]string{"TOKEN": "t0"}
	host := Host{Home: home, Getenv: func(name string) string { return environment[name] }}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(home, ".npmrc"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	registry := func(name string) string {
		t.Helper()
		s, err := readNpmSettings(host)
		if err != nil {
			t.Fatal(err)
		}
		return s.registry(name).String()
	}
	if got := registry("@shop/cli"); got != npmRegistry {
		t.Errorf("without settings it is %s", got)
	}
	write("; a comment = x\nregistry = https://npm.example.org/all/\n@shop:registry=https://shop.example.org/\n//npm.example.org/all/:_authToken=${TOKEN}\n")
	if got := registry("cli"); got != "https://npm.example.org/all/" {
		t.Errorf("by .npmrc it is %s", got)
	}
	environment["npm_config_registry"] = "http://127.0.0.1:4873/"
	if got := registry("cli"); got != "http://127.0.0.1:4873/" {
		t.Errorf("the environment comes first, and it is %s", got)
	}
	if got := registry("@shop/cli"); got != "https://shop.example.org/" {
		t.Errorf("that of a scope is %s", got)
	}
	s, err := readNpmSettings(host)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"https://npm.example.org/all/cli":             "t0",
		"https://npm.example.org/allies/cli":          "",
		"https://npm.example.org/cli":                 "",
		"https://shop.example.org/all/cli":            "",
		"https://npm.example.org.evil.test/all/cli":   "",
		"https://evil.test/npm.example.org/all/cli":   "",
		"https://npm.example.org:8443/all/other.port": "",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.token(u); got != want {
			t.Errorf("%s is given %q, want %q", text, got, want)
		}
	}
	environment["npm_config_registry"] = "http://npm.example.org/"
	if _, err := readNpmSettings(host); err == nil || !strings.Contains(err.Error(), "npm's setting registry=http://npm.example.org/") {
		t.Errorf("one that could be eavesdropped on: %v", err)
	}
}
