// Package npmtest serves packages as a registry of npm does, for tests.
package npmtest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// Registry serves packages. It is safe for concurrent use.
type Registry struct {
	Token string // that it wants, if any

	mu       sync.Mutex
	packages map[string]map[string]version
	asked    []string
}

type version struct {
	manifest map[string]any
	archive  []byte
}

// File is an entry of an archive; one with a Link is a symbolic link.
type File struct{ Name, Content, Link string }

// Publish adds a version. manifest is its package.json, which must have a name
// and a version; files lie beside it. What is there already is replaced.
func (r *Registry) Publish(manifest map[string]any, files ...File) error {
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	archive, err := pack(append([]File{{Name: "package/package.json", Content: string(text)}}, files...))
	if err != nil {
		return err
	}
	name, named := manifest["name"].(string)
	number, numbered := manifest["version"].(string)
	if !named || !numbered {
		return errors.New("a package has a name and a version")
	}
	sum := sha512.Sum512(archive)
	shown := maps.Clone(manifest)
	shown["dist"] = map[string]any{"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum[:])}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.packages == nil {
		r.packages = map[string]map[string]version{}
	}
	if r.packages[name] == nil {
		r.packages[name] = map[string]version{}
	}
	r.packages[name][number] = version{shown, archive}
	return nil
}

// Tamper has another archive served for a version than is described.
func (r *Registry) Tamper(name, number string, files ...File) error {
	archive, err := pack(files)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.packages[name][number]
	v.archive = archive
	r.packages[name][number] = v
	return nil
}

// Asked are the paths that were asked for, in order.
func (r *Registry) Asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}

// ServeHTTP answers /NAME with what there is of a package, and /NAME/-/VERSION
// with an archive.
func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, request.URL.Path)
	if r.Token != "" && request.Header.Get("Authorization") != "Bearer "+r.Token {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	name, number, archive := strings.Cut(strings.TrimPrefix(request.URL.Path, "/"), "/-/")
	versions, ok := r.packages[name]
	if !ok || archive && versions[strings.TrimSuffix(number, ".tgz")].archive == nil {
		http.NotFound(w, request)
		return
	}
	if archive {
		_, _ = w.Write(versions[strings.TrimSuffix(number, ".tgz")].archive) // the client notices
		return
	}
	_ = json.NewEncoder(w).Encode(r.document(name, "http://"+request.Host)) // so here
}

func (r *Registry) document(name, base string) map[string]any {
	all, latest := map[string]any{}, ""
	for _, number := range slices.Sorted(maps.Keys(r.packages[name])) {
		m := maps.Clone(r.packages[name][number].manifest)
		dist, _ := m["dist"].(map[string]any)
		dist = maps.Clone(dist)
		dist["tarball"] = base + "/" + strings.ReplaceAll(url.PathEscape(name), "%2F", "/") + "/-/" + number + ".tgz"
		m["dist"] = dist
		all[number], latest = m, number
	}
	return map[string]any{"name": name, "dist-tags": map[string]string{"latest": latest}, "versions": all}
}

func pack(files []File) ([]byte, error) {
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	w := tar.NewWriter(zipped)
	for _, f := range files {
		header := tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: int64(len(f.Content)), Mode: 0o644}
		if f.Link != "" {
			header.Typeflag, header.Linkname, header.Size = tar.TypeSymlink, f.Link, 0
		}
		if err := w.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, f.Content[:header.Size]); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(w.Close(), zipped.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
