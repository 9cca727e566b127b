package disk

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// pieces are what a small VMDK is put together from, so that a fuzzer need not
// find out how.
type pieces struct{ head, description, directory, table, grains []byte }

// file puts them where smallVMDK's header says.
func (p pieces) file() []byte {
	content := make([]byte, max(16*sector, 8*sector+len(p.grains)))
	copy(content[:sector], p.head)
	copy(content[sector:2*sector], p.description)
	copy(content[2*sector:3*sector], p.directory)
	copy(content[3*sector:7*sector], p.table)
	copy(content[8*sector:], p.grains)
	return content
}

// smallVMDK is a disk of two grains of eight sectors, the first with data.
func smallVMDK(t testing.TB, compressed bool) pieces {
	p := pieces{
		head:        make([]byte, 80),
		description: []byte("createType=\"streamOptimized\"\nparentCID=ffffffff\nRW 16 SPARSE \"x.vmdk\"\n"),
		directory:   []byte{3, 0, 0, 0}, // the only table
		table:       []byte{8, 0, 0, 0}, // its first grain
		grains:      bytes.Repeat([]byte("lkup"), 8*sector/4),
	}
	copy(p.head, "KDMV")
	put32, put64 := binary.LittleEndian.PutUint32, binary.LittleEndian.PutUint64
	put32(p.head[4:], 3)
	put64(p.head[12:], 16) // capacity
	put64(p.head[20:], 8)  // grain
	put64(p.head[28:], 1)  // description
	put64(p.head[36:], 1)
	put32(p.head[44:], entriesPerTable)
	put64(p.head[56:], 2) // directory
	if !compressed {
		return p
	}
	put32(p.head[8:], flagCompressed|flagMarkers)
	p.head[77] = 1
	var b bytes.Buffer
	b.Write(make([]byte, 12))
	w := zlib.NewWriter(&b)
	if _, err := w.Write(p.grains); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	p.grains = b.Bytes()
	put32(p.grains[8:], uint32(len(p.grains)-12))
	return p
}

// FuzzVMDK: whatever is let through becomes a disk of the size that its header
// says, within the limits.
func FuzzVMDK(f *testing.F) {
	for _, compressed := range []bool{false, true} {
		p := smallVMDK(f, compressed)
		f.Add(p.head, p.description, p.directory, p.table, p.grains[:min(len(p.grains), 128)])
	}
	limits := Limits{Size: 16 << 20, Data: 1 << 20, Ratio: 1}
	path := filepath.Join(f.TempDir(), "disk")
	f.Fuzz(func(t *testing.T, head, description, directory, table, grains []byte) {
		content := pieces{head, description, directory, table, grains}.file()
		r, size := bytes.NewReader(content), int64(len(content))
		s, err := readVMDK(r, size)
		if err != nil {
			return
		}
		_ = os.Remove(path)
		out, err := create(path, size, limits)
		if err != nil {
			t.Fatal(err)
		}
		copying := s.copy(context.Background(), r, size, out)
		if err := out.close(); err != nil {
			t.Fatal(err)
		}
		if out.written > 1<<20+size+int64(len(zeros)) {
			t.Errorf("%d bytes were written for %d", out.written, size)
		}
		if copying != nil {
			return
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() != int64(s.capacity)*sector || info.Size() > limits.Size {
			t.Errorf("%v, %v", info, err)
		}
	})
}

// The seeds are disks, so that fuzzing starts from what is read to its end.
func TestTheSeedsAreDisks(t *testing.T) {
	for name, compressed := range map[string]bool{"plain": false, "compressed": true} {
		content := smallVMDK(t, compressed).file()
		r, path := bytes.NewReader(content), filepath.Join(t.TempDir(), "disk")
		s, err := readVMDK(r, r.Size())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out, err := create(path, r.Size(), Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.copy(context.Background(), r, r.Size(), out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := out.close(); err != nil {
			t.Fatal(err)
		}
		want := append(bytes.Repeat([]byte("lkup"), 8*sector/4), make([]byte, 8*sector)...)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s became another disk: %v", name, err)
		}
	}
}
