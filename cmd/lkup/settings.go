package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"

	"github.com/lkup/lkup/sources/oci"
	"github.com/lkup/lkup/sources/store"
)

// settings are the user's own, for all stacks: config.hcl.
type settings struct {
	Registries []registrySettings `hcl:"registry,block"`
	GitHub     *githubSettings    `hcl:"github,block"`
}

type registrySettings struct {
	Host     string `hcl:"host,label"`
	Mirror   string `hcl:"mirror,optional"`
	Insecure bool   `hcl:"insecure,optional"`
	CA       string `hcl:"ca,optional"` // a PEM file, relative to config.hcl
}

type githubSettings struct {
	API string `hcl:"api,optional"`
}

// readSettings reads config.hcl, if there is one. Mistakes in it are an
// [invalidStack].
func readSettings(host Host) (settings, error) {
	path := filepath.Join(host.Layout().Config, "config.hcl")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return settings{}, nil
	}
	if err != nil {
		return settings{}, fmt.Errorf("read the user's settings: %w", err)
	}
	parser := hclparse.NewParser()
	file, diags := parser.ParseHCL(content, path)
	var s settings
	if !diags.HasErrors() {
		diags = append(diags, gohcl.DecodeBody(file.Body, &hcl.EvalContext{}, &s)...)
	}
	if diags.HasErrors() {
		return settings{}, &invalidStack{diags: diags, files: parser.Files()}
	}
	return s, nil
}

// registries wires the source of registries.
func registries(host Host, images *store.Store, user settings, proxy func(*http.Request) (*url.URL, error)) (*oci.Components, error) {
	to := oci.Settings{
		Store: images, Registries: map[string]oci.Registry{}, Keychain: authn.DefaultKeychain, Proxy: proxy,
	}
	var err error
	if to.Mirror, err = mirror(host.Getenv("LKUP_REGISTRY_MIRROR")); err != nil {
		return nil, fmt.Errorf("LKUP_REGISTRY_MIRROR: %w", err)
	}
	for _, r := range user.Registries {
		one := oci.Registry{Insecure: r.Insecure}
		if one.Mirror, err = mirror(r.Mirror); err == nil {
			one.CAs, err = authorities(host.Layout().Config, r.CA)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: registry %q: %w", filepath.Join(host.Layout().Config, "config.hcl"), r.Host, err)
		}
		if _, twice := to.Registries[r.Host]; twice {
			return nil, fmt.Errorf("%s: registry %q has two blocks; write one", filepath.Join(host.Layout().Config, "config.hcl"), r.Host)
		}
		to.Registries[r.Host] = one
	}
	return oci.New(to), nil
}

// mirror reads the URL of a mirror; nil for none.
func mirror(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is no mirror's URL; write https://HOST or http://127.0.0.1:PORT; credentials belong into Docker's config", text)
	}
	return u, nil
}

// authorities reads certificates besides the system's; nil for none.
func authorities(dir, file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}
