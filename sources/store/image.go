package store

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/lkup/lkup/sources"
)

// Names of the files that layers and images are stored as.
const (
	layerFile  = "layer.tar"
	diffIDFile = "diffid"
	configFile = "config.json"
	layersFile = "layers.json"
)

// BuildLayer stores a layer as an uncompressed tar under key, unless it is
// there. write must give the same entries whenever it is called for key.
func (s *Store) BuildLayer(ctx context.Context, key sources.Digest, write func(*tar.Writer) error) error {
	_, err := s.Build(ctx, key, func(dir string) error {
		file, err := os.Create(filepath.Join(dir, layerFile))
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		hash := sha256.New()
		buffer := bufio.NewWriterSize(io.MultiWriter(file, hash), 1<<18)
		entries := tar.NewWriter(buffer)
		if err := write(entries); err != nil {
			return err
		}
		if err := entries.Close(); err != nil {
			return err
		}
		if err := buffer.Flush(); err != nil {
			return err
		}
		diffID := fmt.Sprintf("sha256:%x", hash.Sum(nil))
		return os.WriteFile(filepath.Join(dir, diffIDFile), []byte(diffID), 0o600)
	})
	return err
}

// BuildImage stores an image under key, unless it is there. layers calls
// [Store.BuildLayer] as needed and returns the layers' keys, lowest first.
func (s *Store) BuildImage(ctx context.Context, key sources.Digest, arch string, config v1.Config, layers func() ([]sources.Digest, error)) (v1.Image, error) {
	dir, err := s.Build(ctx, key, func(dir string) error {
		keys, err := layers()
		if err != nil {
			return err
		}
		return s.writeImage(dir, arch, config, keys)
	})
	if err != nil {
		return nil, err
	}
	image, err := s.openImage(dir)
	if !errors.Is(err, errLayerGone) {
		return image, err
	}
	// A layer was damaged and taken out; the others are still there.
	if _, err := layers(); err != nil {
		return nil, err
	}
	return s.openImage(dir)
}

var errLayerGone = errors.New("it is not in the image store")

func (s *Store) writeImage(dir, arch string, config v1.Config, layers []sources.Digest) error {
	file := v1.ConfigFile{Architecture: arch, OS: "linux", Config: config, RootFS: v1.RootFS{Type: "layers"}}
	for _, key := range layers {
		diffID, err := s.diffID(key)
		if err != nil {
			return err
		}
		file.RootFS.DiffIDs = append(file.RootFS.DiffIDs, diffID)
	}
	if err := writeJSON(filepath.Join(dir, configFile), file); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, layersFile), layers)
}

func writeJSON(path string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

func (s *Store) diffID(layer sources.Digest) (v1.Hash, error) {
	dir, ok := s.Built(layer)
	if !ok {
		return v1.Hash{}, fmt.Errorf("layer %s: %w", layer, errLayerGone)
	}
	content, err := os.ReadFile(filepath.Join(dir, diffIDFile))
	if err != nil {
		return v1.Hash{}, err
	}
	return v1.NewHash(string(content))
}

func (s *Store) openImage(dir string) (v1.Image, error) {
	config, err := os.ReadFile(filepath.Join(dir, configFile))
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(dir, layersFile))
	if err != nil {
		return nil, err
	}
	var keys []sources.Digest
	if err := json.Unmarshal(content, &keys); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, layersFile), err)
	}
	img := image{config: config, layers: map[v1.Hash]partial.UncompressedLayer{}}
	for _, key := range keys {
		diffID, err := s.diffID(key)
		if err != nil {
			return nil, err
		}
		img.layers[diffID] = layer{diffID: diffID, path: filepath.Join(s.builtDir(key), layerFile)}
	}
	return partial.UncompressedToImage(img)
}

// image is an image on disk. What needs compression, such as its manifest, is
// computed only when somebody asks.
type image struct {
	config []byte
	layers map[v1.Hash]partial.UncompressedLayer
}

func (i image) RawConfigFile() ([]byte, error) { return i.config, nil }

func (i image) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func (i image) LayerByDiffID(diffID v1.Hash) (partial.UncompressedLayer, error) {
	if l, ok := i.layers[diffID]; ok {
		return l, nil
	}
	return nil, fmt.Errorf("layer %s is not in the image", diffID)
}

// layer is an uncompressed tar on disk.
type layer struct {
	diffID v1.Hash
	path   string
}

func (l layer) DiffID() (v1.Hash, error) { return l.diffID, nil }

func (l layer) MediaType() (types.MediaType, error) { return types.OCIUncompressedLayer, nil }

// Uncompressed gives a file, so that readers can seek over what they skip.
func (l layer) Uncompressed() (io.ReadCloser, error) { return os.Open(l.path) }
