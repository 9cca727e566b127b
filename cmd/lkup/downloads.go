package main

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/disk"
	"github.com/lkup/lkup/sources/download"
	"github.com/lkup/lkup/sources/github"
	"github.com/lkup/lkup/sources/https"
	"github.com/lkup/lkup/sources/store"
)

// downloads wires the sources that are behind a URL, by their schemes.
func downloads(host Host, images *store.Store, user settings, proxy func(*http.Request) (*url.URL, error)) (map[string]sources.Source, error) {
	client := download.New(download.Settings{
		Store: images,
		Proxy: proxy,
		Agent: "lkup/" + version,
	})
	disks := disk.Images{Store: images, Arch: host.Arch}
	plain := https.Source{Client: client, Disks: disks}
	releases := github.Source{Client: client, Disks: disks, Now: host.Now}
	var err error
	if releases.API, err = githubAPI(host, user); err != nil {
		return nil, err
	}
	for _, name := range []string{"GH_TOKEN", "GITHUB_TOKEN"} {
		if token := host.Getenv(name); token != "" && releases.Token == "" {
			releases.Token, releases.TokenFrom = token, name
		}
	}
	return map[string]sources.Source{"https": plain, "http": plain, "github": releases}, nil
}

// githubAPI is the root of the API that the user wants; "" for github.com's.
func githubAPI(host Host, user settings) (string, error) {
	said, where := host.Getenv("GITHUB_API_URL"), "GITHUB_API_URL"
	if said == "" && user.GitHub != nil {
		said, where = user.GitHub.API, filepath.Join(host.Layout().Config, "config.hcl")+": github"
	}
	if said == "" {
		return "", nil
	}
	if _, err := download.Parse(said); err != nil {
		return "", fmt.Errorf("%s: %q: %w", where, said, err)
	}
	return said, nil
}
