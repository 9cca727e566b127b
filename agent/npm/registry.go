package npm

import (
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/download"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// Registry is where packages come from. It is for one goroutine.
type Registry struct {
	Client *download.Client
	Store  *store.Store // the client's
	// Base is the registry of a package, and Token what opens it; "" for none.
	Base  func(name string) *url.URL
	Token func(*url.URL) string
	// Told receives each request once it is over.
	Told func(u *url.URL, received int64, err error)

	known map[string]document
}

const (
	mostDocument = 64 << 20 // bytes of what a registry says of a package
	mostArchive  = 1 << 30  // bytes of an archive
)

// abbreviated is the form that has all that an installation needs.
const abbreviated = "application/vnd.npm.install-v1+json"

// document is what a registry says of a package.
type document struct {
	Tags     map[string]string   `json:"dist-tags"`
	Versions map[string]manifest `json:"versions"`
}

// manifest is what a registry says of one version.
type manifest struct {
	Name         string              `json:"name"`
	Version      string              `json:"version"`
	Dependencies map[string]string   `json:"dependencies"`
	Optional     map[string]string   `json:"optionalDependencies"`
	Peers        map[string]string   `json:"peerDependencies"`
	PeersMeta    map[string]peerMeta `json:"peerDependenciesMeta"`
	Bundled      bundled             `json:"bundleDependencies"`
	BundledToo   bundled             `json:"bundledDependencies"` // npm takes both names
	OS           words               `json:"os"`
	CPU          words               `json:"cpu"`
	Libc         words               `json:"libc"`
	Dist         struct {
		Integrity string `json:"integrity"`
		Tarball   string `json:"tarball"`
	} `json:"dist"`
}

type peerMeta struct {
	Optional bool `json:"optional"`
}

// words are a text or several.
type words []string

func (w *words) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*w = words{one}
		return nil
	}
	var all []string
	err := json.Unmarshal(text, &all)
	*w = all
	return err
}

// bundled are names, or true for all.
type bundled struct {
	names []string
	all   bool
}

func (b *bundled) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &b.all) == nil {
		return nil
	}
	return json.Unmarshal(text, &b.names)
}

// Latest is the version that the registry gives to those who ask for none.
func (r *Registry) Latest(ctx context.Context, name string) (string, error) {
	d, err := r.document(ctx, name)
	if err == nil && d.Tags["latest"] == "" {
		err = fmt.Errorf("%s has no newest version", name)
	}
	return d.Tags["latest"], err
}

func (r *Registry) document(ctx context.Context, name string) (document, error) {
	if d, ok := r.known[name]; ok {
		return d, nil
	}
	u := r.Base(name).JoinPath(strings.Replace(name, "/", "%2f", 1))
	header := http.Header{"Accept": {abbreviated}}
	r.authorize(u, header)
	answer, err := r.Client.Ask(ctx, u.String(), header, mostDocument)
	if err == nil && answer.Status != http.StatusOK {
		err = fmt.Errorf("%s answers %d %s", u.Host, answer.Status, http.StatusText(answer.Status))
	}
	r.Told(u, int64(len(answer.Body)), err)
	var d document
	switch {
	case answer.Status == http.StatusNotFound:
		return d, fmt.Errorf("%s has no package %s", u.Host, name)
	case err != nil:
		return d, err
	}
	if err := json.Unmarshal(answer.Body, &d); err != nil {
		return d, fmt.Errorf("read what %s says of %s: %w", u.Host, name, err)
	}
	if r.known == nil {
		r.known = map[string]document{}
	}
	r.known[name] = d
	return d, nil
}

func (r *Registry) authorize(u *url.URL, header http.Header) {
	if token := r.Token(u); token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
}

// exactly is what the registry says of one version.
func (r *Registry) exactly(ctx context.Context, p spec.Package) (manifest, error) {
	d, err := r.document(ctx, p.Name)
	if err != nil {
		return manifest{}, err
	}
	m, ok := d.Versions[p.Version]
	switch {
	case !ok && d.Tags["latest"] != "":
		return m, fmt.Errorf("%s has no version %s; the newest is %s", p.Name, p.Version, d.Tags["latest"])
	case !ok:
		return m, fmt.Errorf("%s has no version %s", p.Name, p.Version)
	case m.Name != p.Name || m.Version != p.Version:
		return m, fmt.Errorf("what the registry says of %s@%s is about %q@%q", p.Name, p.Version, m.Name, m.Version)
	}
	return m, nil
}

// Bring has all archives of a tree in the store. One that is not what is locked
// is a [download.MismatchError].
func (r *Registry) Bring(ctx context.Context, t Tree, report sources.Report) error {
	for _, p := range t.Placed {
		if _, ok := r.Store.Blob(p.Digest); ok {
			continue
		}
		m, err := r.exactly(ctx, p.Package)
		if err != nil {
			return err
		}
		if _, err := r.archive(ctx, m, p.Digest, report); err != nil {
			return err
		}
	}
	return nil
}

// archive downloads what a version consists of, and checks it.
func (r *Registry) archive(ctx context.Context, m manifest, want sources.Digest, report sources.Report) (sources.Digest, error) {
	integrity, err := sum512(m)
	if err != nil {
		return "", err
	}
	u, err := download.Parse(m.Dist.Tarball)
	if err != nil {
		return "", fmt.Errorf("the archive of %s@%s: %w", m.Name, m.Version, err)
	}
	header := http.Header{}
	r.authorize(u, header)
	got, err := r.Client.Get(ctx, download.Request{
		URL: u.String(), Header: header, What: m.Name + "@" + m.Version, Want: want, Limit: mostArchive,
	}, report)
	size := int64(0)
	if err == nil {
		size, err = r.checked(got.Digest, m, integrity)
	}
	r.Told(u, size, err)
	return got.Digest, err
}

// checked is how large an archive is, if it is what the registry says.
func (r *Registry) checked(d sources.Digest, m manifest, integrity string) (int64, error) {
	f, err := r.open(d)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sum := sha512.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return size, err
	}
	if got := base64.StdEncoding.EncodeToString(sum.Sum(nil)); got != integrity {
		return size, fmt.Errorf("the archive of %s@%s is not the one that the registry describes: its SHA-512 is %s, and should be %s", m.Name, m.Version, got, integrity)
	}
	return size, nil
}

func (r *Registry) open(d sources.Digest) (io.ReadCloser, error) {
	path, ok := r.Store.Blob(d)
	if !ok {
		return nil, errors.New("the image store has lost it; run the command again")
	}
	return os.Open(path)
}

// sum512 is the SHA-512 in what is called subresource integrity, in base 64:
// https://www.w3.org/TR/SRI/
func sum512(m manifest) (string, error) {
	for word := range strings.FieldsSeq(m.Dist.Integrity) {
		if sum, ok := strings.CutPrefix(word, "sha512-"); ok {
			sum, _, _ = strings.Cut(sum, "?")
			return sum, nil
		}
	}
	return "", fmt.Errorf("the registry names no SHA-512 of %s@%s, so it cannot be checked", m.Name, m.Version)
}
