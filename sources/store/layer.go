package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/lkup/lkup/sources"
)

// MaxLayer bounds what one layer may unpack to, in bytes.
const MaxLayer = 8 << 30

// PackedLayer is a layer as somebody else's image names it.
type PackedLayer struct {
	Digest v1.Hash // of the layer as it comes, compressed or not; zero if nobody says
	Size   int64   // of the same, in bytes
	DiffID v1.Hash // of the tar in it
}

// PackedLayers are the layers of an image, lowest first.
func PackedLayers(manifest *v1.Manifest, config *v1.ConfigFile) ([]PackedLayer, error) {
	if len(manifest.Layers) != len(config.RootFS.DiffIDs) {
		return nil, fmt.Errorf("its manifest has %d layers and its configuration %d", len(manifest.Layers), len(config.RootFS.DiffIDs))
	}
	layers := make([]PackedLayer, len(manifest.Layers))
	for i, l := range manifest.Layers {
		layers[i] = PackedLayer{Digest: l.Digest, Size: l.Size, DiffID: config.RootFS.DiffIDs[i]}
	}
	return layers, nil
}

// key names a layer by the tar in it: however it was packed, it is one layer.
func (l PackedLayer) key() sources.Digest { return Key("layer by diff ID/1", l.DiffID.String()) }

// LayerUnpacked reports whether a layer is here.
func (s *Store) LayerUnpacked(l PackedLayer) bool {
	_, ok := s.Built(l.key())
	return ok
}

// UnpackLayer stores the tar in a layer, unless it is here. open begins to
// read it as it comes. A layer that is not what l says, to the byte, is
// refused and leaves nothing; so does one that unpacks to more than limit
// bytes. An error of the reader is returned as it is.
func (s *Store) UnpackLayer(ctx context.Context, l PackedLayer, limit int64, open func() (io.ReadCloser, error)) error {
	if l.DiffID.Algorithm != "sha256" || l.Digest != (v1.Hash{}) && l.Digest.Algorithm != "sha256" {
		return fmt.Errorf("layer %s: its digest is not a SHA-256", l.DiffID)
	}
	if l.Size < 0 || l.Size > limit {
		return fmt.Errorf("layer %s: its manifest says %d bytes, and no layer may have more than %d", l.name(), l.Size, limit)
	}
	_, err := s.Build(ctx, l.key(), func(dir string) error {
		packed, err := open()
		if err != nil {
			return err
		}
		defer func() { _ = packed.Close() }()
		if err := l.unpack(packed, filepath.Join(dir, layerFile), limit); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, diffIDFile), []byte(l.DiffID.String()), 0o600)
	})
	return err
}

func (l PackedLayer) unpack(packed io.Reader, path string, limit int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	in := &meter{r: packed, hash: sha256.New(), layer: l}
	unpacked, err := decompressed(in)
	if err != nil {
		return in.blame(err)
	}
	defer unpacked.Close()
	hash := sha256.New()
	size, err := io.CopyBuffer(io.MultiWriter(file, hash), io.LimitReader(unpacked, limit+1), make([]byte, 1<<18))
	if err != nil {
		return in.blame(fmt.Errorf("unpack layer %s: %w", l.name(), noEOF(err)))
	}
	if size > limit {
		return fmt.Errorf("layer %s unpacks to more than %d MiB", l.name(), limit>>20)
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // what follows the compressed tar
		return in.blame(err)
	}
	return l.verify(in, fmt.Sprintf("%x", hash.Sum(nil)))
}

// name is what people find the layer by.
func (l PackedLayer) name() string {
	if l.Digest == (v1.Hash{}) {
		return l.DiffID.String()
	}
	return l.Digest.String()
}

// verify compares what was read with what was said.
func (l PackedLayer) verify(in *meter, diffID string) error {
	switch got := fmt.Sprintf("%x", in.hash.Sum(nil)); {
	case in.n < l.Size:
		return fmt.Errorf("layer %s has %d bytes, its manifest says %d", l.name(), in.n, l.Size)
	case l.Digest != (v1.Hash{}) && got != l.Digest.Hex:
		return fmt.Errorf("layer %s has other content: its digest is sha256:%s", l.name(), got)
	case diffID != l.DiffID.Hex:
		return fmt.Errorf("layer %s unpacks to sha256:%s, its image says %s", l.name(), diffID, l.DiffID)
	}
	return nil
}

// meter counts and hashes what is read of a layer, and ends where the layer
// becomes larger than it may be.
type meter struct {
	r     io.Reader
	hash  hash.Hash
	n     int64
	layer PackedLayer
	err   error // other than the end
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n += int64(n)
	_, _ = m.hash.Write(p[:n])
	if m.n > m.layer.Size {
		err = fmt.Errorf("layer %s is larger than the %d bytes that its manifest says", m.layer.name(), m.layer.Size)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// blame prefers the error of reading to what it led to.
func (m *meter) blame(err error) error {
	if m.err != nil {
		return m.err
	}
	return err
}

// noEOF keeps the end of a broken archive apart from that of a connection.
func noEOF(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is cut short")
	}
	return err
}

// maxWindow bounds the memory that a zstd stream can ask for.
const maxWindow = 128 << 20

// decompressed reads a layer by its first bytes, whatever its media type
// says: gzip, zstd or a plain tar.
func decompressed(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, 1<<16)
	head, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return gzip.NewReader(buffered)
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		d, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(buffered), nil
}

// UnpackedImage is the image of a configuration, as it came, whose layers are
// here.
func (s *Store) UnpackedImage(config []byte) (v1.Image, error) {
	var file v1.ConfigFile
	if err := json.Unmarshal(config, &file); err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	img := image{config: config, layers: map[v1.Hash]partial.UncompressedLayer{}}
	for _, diffID := range file.RootFS.DiffIDs {
		dir, ok := s.Built(PackedLayer{DiffID: diffID}.key())
		if !ok {
			return nil, fmt.Errorf("layer %s is not in the image store", diffID)
		}
		img.layers[diffID] = layer{diffID: diffID, path: filepath.Join(dir, layerFile)}
	}
	return partial.UncompressedToImage(img)
}
