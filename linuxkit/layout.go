package linuxkit

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/lkup/lkup/sources/store"
)

// layout is a volume of format oci: its image as an OCI image layout, for
// programs that run images in the guest. Its index names the platforms that
// are there.
func (r recipe) layout(v volume, dir string, components map[string]component, as origin) segment {
	inputs := []string{format, "layout", dir, v.Image.Text}
	var parts []component
	archs := v.archs(r.arch)
	for _, arch := range archs {
		c := components[wanted{v.Image, arch}.key(r.arch)]
		parts = append(parts, c)
		inputs = append(inputs, arch, string(c.digest))
	}
	return segment{key: store.Key(inputs...), what: v.Image.Text, origin: as, write: func(a archive) error {
		index := v1.ImageIndex(empty.Index)
		for i, c := range parts {
			index = mutate.AppendManifests(index, mutate.IndexAddendum{
				Add: c.image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: archs[i]}},
			})
		}
		return writeLayout(layoutWriter{a, dir, map[string]bool{}}, expandedRef(v.Image.Text), index, parts)
	}}
}

type layoutWriter struct {
	archive
	dir  string
	made map[string]bool // files and folders, by name below dir
}

func writeLayout(w layoutWriter, name string, index v1.ImageIndex, parts []component) error {
	top, err := index.RawManifest()
	if err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	entry, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex,
		Manifests: []v1.Descriptor{{
			MediaType: types.OCIImageIndex, Size: int64(len(top)), Digest: digest,
			Annotations: map[string]string{"org.opencontainers.image.ref.name": name},
		}},
	})
	if err != nil {
		return err
	}
	for _, above := range []string{"containers", "containers/volumes", path.Dir(w.dir), w.dir, w.dir + "/blobs", w.dir + "/blobs/sha256"} {
		if err := addDir(w.archive, above); err != nil {
			return err
		}
	}
	if err := errors.Join(
		w.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)), w.file("index.json", entry), w.blob(digest, top),
	); err != nil {
		return err
	}
	for _, c := range parts {
		if err := w.image(c.image); err != nil {
			return err
		}
	}
	return nil
}

func (w layoutWriter) image(image v1.Image) error {
	manifest, err := image.RawManifest()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	configName, err := image.ConfigName()
	if err != nil {
		return err
	}
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	if err := errors.Join(w.blob(digest, manifest), w.blob(configName, config)); err != nil {
		return err
	}
	for _, layer := range layers {
		if err := w.layer(layer); err != nil {
			return err
		}
	}
	return nil
}

func (w layoutWriter) layer(layer v1.Layer) error {
	digest, err := layer.Digest()
	if err != nil {
		return err
	}
	size, err := layer.Size()
	if err != nil {
		return err
	}
	content, err := layer.Compressed()
	if err != nil {
		return err
	}
	return errors.Join(w.add("blobs/sha256/"+digest.Hex, size, content), content.Close())
}

func (w layoutWriter) blob(digest v1.Hash, content []byte) error {
	return w.file("blobs/sha256/"+digest.Hex, content)
}

func (w layoutWriter) file(name string, content []byte) error {
	return w.add(name, int64(len(content)), bytes.NewReader(content))
}

// add writes a file with the time 0, as LinuxKit does. Images share blobs.
func (w layoutWriter) add(name string, size int64, content io.Reader) error {
	if w.made[name] {
		return nil
	}
	w.made[name] = true
	return w.archive.add(tar.Header{
		Typeflag: tar.TypeReg, Name: w.dir + "/" + name, Mode: 0o644, Size: size, ModTime: time.Unix(0, 0),
	}, content)
}
