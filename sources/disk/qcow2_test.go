package disk_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lkup/lkup/sources/disk"
)

// qcow2 is the smallest sound disk of the format, with a header changed.
func qcow2(change func(header []byte)) []byte {
	const cluster = 512
	content := make([]byte, 4*cluster)
	copy(content, "QFI\xfb")
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	put32(content[4:], 3)
	put32(content[20:], 9)         // cluster bits
	put64(content[24:], 1<<20)     // virtual size
	put32(content[36:], 32)        // entries of L1
	put64(content[40:], cluster)   // L1
	put64(content[48:], 2*cluster) // reference counts
	put32(content[56:], 1)         // and their clusters
	put32(content[96:], 4)
	put32(content[100:], 104)
	change(content)
	return content
}

func set32(at int, value uint32) func([]byte) {
	return func(h []byte) { binary.BigEndian.PutUint32(h[at:], value) }
}

func set64(at int, value uint64) func([]byte) {
	return func(h []byte) { binary.BigEndian.PutUint64(h[at:], value) }
}

// header is a case of what a file's first bytes lead to.
type header struct {
	name    string
	content []byte
	want    string // "raw", "packed with gzip"
	err     string
}

func checkHeaders(t *testing.T, cases []header) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := disk.Look(path)
			switch {
			case c.err == "" && (err != nil || got.String() != c.want):
				t.Errorf("got %q, %v", got, err)
			case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("want an error with %q, got %v", c.err, err)
			}
		})
	}
}

func TestQcow2Headers(t *testing.T) {
	extension := func(kind uint32, length uint32) []byte {
		return qcow2(func(h []byte) { set32(104, kind)(h); set32(108, length)(h) })
	}
	checkHeaders(t, []header{
		{"plain", qcow2(func([]byte) {}), "qcow2", ""},
		{"of version 2", qcow2(set32(4, 2)), "qcow2", ""},
		{"left dirty", qcow2(set64(72, 1)), "qcow2", ""},
		{"with a feature table", extension(0x6803f857, 48), "qcow2", ""},
		{"backing file", qcow2(func(h []byte) { set64(8, 0x200)(h); set32(16, 11)(h); copy(h[0x200:], "/etc/shadow") }), "", "backing file"},
		{"backing file of length 0", qcow2(set64(8, 0x200)), "", "backing file"},
		{"backing file without offset", qcow2(set32(16, 11)), "", "backing file"},
		{"backing file of version 2", qcow2(func(h []byte) { set32(4, 2)(h); set64(8, 0x200)(h); set32(16, 11)(h) }), "", "backing file"},
		{"external data file", qcow2(set64(72, 4)), "", "another file"},
		{"data file only named", extension(0x44415441, 8), "", "another file"},
		{"data file named in version 2", qcow2(func(h []byte) { set32(4, 2)(h); set32(72, 0x44415441)(h); set32(76, 8)(h) }), "", "another file"},
		{"corrupt", qcow2(set64(72, 2)), "", "qemu-img check"},
		{"unknown feature", qcow2(set64(72, 1<<40)), "", "does not know"},
		{"encrypted", qcow2(set32(32, 2)), "", "encrypted"},
		{"encrypted by extension", extension(0x0537be77, 16), "", "encrypted"},
		{"version 9", qcow2(set32(4, 9)), "", "version 9"},
		{"cut in the header", qcow2(func([]byte) {})[:71], "", "cut short"},
		{"cut in the header of version 3", qcow2(func([]byte) {})[:103], "", "cut short"},
		{"cut in the tables", qcow2(func([]byte) {})[:600], "", "first table"},
		{"clusters of one byte", qcow2(set32(20, 0)), "", "clusters of 2^0"},
		{"clusters of 4 GiB", qcow2(set32(20, 32)), "", "clusters of 2^32"},
		{"clusters of 2^2^32", qcow2(set32(20, 1<<31)), "", "clusters of"},
		{"no size", qcow2(set64(24, 0)), "", "a disk of 0 bytes"},
		{"size beyond all disks", qcow2(set64(24, 1<<63)), "", "a disk of 9223372036854775808 bytes"},
		{"first table too small", qcow2(set32(36, 1)), "", "1 entries"},
		{"first table too large", qcow2(set32(36, 1<<31)), "", "2147483648 entries"},
		{"first table over the header", qcow2(set64(40, 0)), "", "first table at 0"},
		{"first table outside", qcow2(set64(40, 1<<62)), "", "first table at"},
		{"first table at the end of all", qcow2(set64(40, 1<<64-512)), "", "first table at"},
		{"first table not aligned", qcow2(set64(40, 513)), "", "first table at 513"},
		{"reference counts outside", qcow2(set64(48, 1<<40)), "", "reference counts at"},
		{"no reference counts", qcow2(set32(56, 0)), "", "0 clusters"},
		{"endless reference counts", qcow2(set32(56, 1<<31)), "", "clusters of reference counts"},
		{"reference counts of 2^64 bits", qcow2(set32(96, 64)), "", "2^64 bits"},
		{"header of 3 bytes", qcow2(set32(100, 3)), "", "header of 3 bytes"},
		{"header of 4 GiB", qcow2(set32(100, 1<<32-8)), "", "without an end"},
		{"endless snapshots", qcow2(set32(60, 1<<31)), "", "snapshots"},
		{"snapshots outside", qcow2(func(h []byte) { set32(60, 1)(h); set64(64, 1<<40)(h) }), "", "snapshots at"},
		{"endless extension", extension(1, 1<<32-1), "", "extension of"},
		{"extensions without an end", extension(1, 4096), "", "without an end"},
	})
}

func TestWhatIsNoDisk(t *testing.T) {
	iso := make([]byte, 40_000)
	copy(iso[0x8001:], "CD001")
	hybrid := append([]byte(nil), iso...)
	hybrid[510], hybrid[511] = 0x55, 0xaa
	tar := make([]byte, 1024)
	copy(tar[257:], "ustar")
	padded := func(magic string) []byte { return append([]byte(magic), make([]byte, 4096)...) }
	checkHeaders(t, []header{
		{"raw", make([]byte, 512), "raw", ""},
		{"gzip", padded("\x1f\x8b"), "packed with gzip", ""},
		{"xz", padded("\xfd7zXZ\x00"), "packed with xz", ""},
		{"zstd", padded("\x28\xb5\x2f\xfd"), "packed with zstd", ""},
		{"bzip2", padded("BZh9"), "packed with bzip2", ""},
		{"hybrid iso", hybrid, "raw", ""},
		{"iso", iso, "", "CD image"},
		{"empty", nil, "", "empty"},
		{"a text", []byte("hello"), "", "too short"},
		{"tar", tar, "", "tar archive"},
		{"zip", padded("PK\x03\x04"), "", "zip archive"},
		{"web page", padded("\n<!DOCTYPE HTML>"), "", "web page"},
		{"vhdx", padded("vhdxfile"), "", "qemu-img convert"},
		{"vdi", padded("<<< Oracle VM VirtualBox Disk Image >>>"), "", "qemu-img convert"},
		{"vmdk description", padded("# Disk DescriptorFile\nRW 1 FLAT \"/etc/shadow\" 0\n"), "", "other files"},
		{"old vmdk", padded("COWD"), "", "VMDK disk of the old kind"},
	})
	if _, err := disk.Look(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a directory: %v", err)
	}
}

// FuzzQcow2Header: whatever is let through names no other file.
func FuzzQcow2Header(f *testing.F) {
	f.Add(qcow2(func([]byte) {}))
	f.Add(qcow2(set32(4, 2)))
	f.Add(qcow2(set64(8, 0x200)))
	f.Add(qcow2(set32(104, 0x44415441)))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := disk.Read(bytes.NewReader(content), int64(len(content)))
		if err != nil || got.Format != disk.Qcow2 {
			return
		}
		word := func(at int) uint32 { return binary.BigEndian.Uint32(content[at:]) }
		if word(8) != 0 || word(12) != 0 || word(16) != 0 {
			t.Error("a backing file was let through")
		}
		if word(4) == 3 && word(76)&4 != 0 {
			t.Error("a data file was let through")
		}
		if size := uint64(word(24))<<32 | uint64(word(28)); size == 0 || size > 64<<40 || word(20) > 21 {
			t.Errorf("a disk of %d bytes was let through", size)
		}
	})
}
