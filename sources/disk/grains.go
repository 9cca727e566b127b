package disk

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// copy writes what the disk holds to out. Every place that the tables name
// must lie in the file, of size bytes.
func (s sparse) copy(ctx context.Context, r io.ReaderAt, size int64, out *output) error {
	if s.capacity > math.MaxInt64/sector || out.grow(int64(s.capacity)*sector) != nil {
		return out.tooLarge()
	}
	directory := make([]byte, 4*s.tables())
	if _, err := r.ReadAt(directory, int64(s.directory)*sector); err != nil {
		return fmt.Errorf("read its grain directory: %w", err)
	}
	c := grainCopier{sparse: s, r: r, size: size, out: out, grain: make([]byte, s.grain)}
	for n := range s.tables() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.table(n, binary.LittleEndian.Uint32(directory[4*n:])); err != nil {
			return fmt.Errorf("read grain table %d: %w", n, err)
		}
	}
	return nil
}

type grainCopier struct {
	sparse
	r     io.ReaderAt
	size  int64
	out   *output
	grain []byte
}

// table copies the grains of table n, which lies at a sector; 0 is none.
func (c *grainCopier) table(n int64, at uint32) error {
	if at == 0 {
		return nil
	}
	entries := make([]byte, 4*entriesPerTable)
	if _, err := c.r.ReadAt(entries, int64(at)*sector); err != nil {
		return outside(err)
	}
	for i := range int64(entriesPerTable) {
		where := binary.LittleEndian.Uint32(entries[4*i:])
		if where == 0 || where == 1 && c.zeroGrains {
			continue
		}
		offset := (n*entriesPerTable + i) * c.sparse.grain
		length := min(c.sparse.grain, int64(c.capacity)*sector-offset)
		if length <= 0 {
			return nil // entries behind the end of the disk mean nothing
		}
		if err := c.read(int64(where)*sector, uint64(offset)/sector, c.grain[:length]); err != nil {
			return fmt.Errorf("grain %d: %w", i, err)
		}
		if err := c.out.write(c.grain[:length], offset); err != nil {
			return err
		}
	}
	return nil
}

// read fills grain with what lies at an offset of the file. A compressed
// grain says itself which sector it begins at.
func (c *grainCopier) read(at int64, first uint64, grain []byte) error {
	if !c.compressed {
		if n, err := c.r.ReadAt(grain, at); n < len(grain) {
			return outside(err)
		}
		return nil
	}
	marker := make([]byte, 12)
	if _, err := c.r.ReadAt(marker, at); err != nil {
		return outside(err)
	}
	if lba := binary.LittleEndian.Uint64(marker); lba != first {
		return fmt.Errorf("it is of sector %d, not %d", lba, first)
	}
	packed := int64(binary.LittleEndian.Uint32(marker[8:]))
	if packed > c.size-at-12 || packed > 2*c.sparse.grain+1024 {
		return fmt.Errorf("its %d bytes do not lie in the file", packed)
	}
	content, err := zlib.NewReader(io.NewSectionReader(c.r, at+12, packed))
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(content, grain); err != nil {
		return fmt.Errorf("unpack it: %w", err)
	}
	// The rest of the last grain of a disk is padding.
	if _, err := io.CopyN(io.Discard, content, c.sparse.grain-int64(len(grain))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n, err := content.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return errors.New("it holds more than a grain")
	}
	return nil
}

func outside(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("it lies outside of the file, which may be cut short")
	}
	return err
}

// zeros are compared with.
var zeros = make([]byte, 64<<10)

func isZero(p []byte) bool { return bytes.Equal(p, zeros[:len(p)]) }
