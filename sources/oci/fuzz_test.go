package oci

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/sources/store"
)

// FuzzManifest: whatever a registry sends, it is refused, or what is taken
// from it is a digest.
func FuzzManifest(f *testing.F) {
	const digest = `"digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"`
	for _, seed := range []string{
		`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":1,` + digest + `,"platform":{"os":"linux","architecture":"amd64"}}]}`,
		`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","size":1,` + digest + `},"layers":[{"size":-1,` + digest + `}]}`,
		`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","size":1,` + digest + `}]}`,
		`{"schemaVersion":1}`, `{"manifests":[{"platform":null}]}`, `[]`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if _, err := kindOf(content); err != nil {
			return
		}
		if found, err := pick(content, "amd64"); err == nil {
			d, err := found.digest("amd64")
			for _, d := range append(found.inner, d) {
				if err == nil && !d.Valid() {
					t.Errorf("%q is no digest", d)
				}
			}
		}
		manifest, err := parseManifest(content)
		if err != nil {
			return
		}
		layers, err := store.PackedLayers(manifest, &v1.ConfigFile{})
		if err == nil && len(layers) > 0 {
			t.Errorf("%d layers of a configuration without any", len(layers))
		}
	})
}
