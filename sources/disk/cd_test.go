package disk_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/lkup/lkup/sources/disk"
)

// cd is one with a boot catalog whose first entry is for a platform, and that
// has a section for each of the others.
func cd(change func([]byte), platforms ...byte) []byte {
	content := make([]byte, 24*2048)
	copy(content[16*2048+1:], "CD001")
	copy(content[17*2048+1:], "CD001\x01EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(content[17*2048+71:], 20)
	catalog := content[20*2048:]
	catalog[0], catalog[1], catalog[30], catalog[31] = 1, platforms[0], 0x55, 0xaa
	catalog[32] = 0x88
	for n, p := range platforms[1:] {
		at := 64 * (n + 1)
		catalog[at], catalog[at+1], catalog[at+2] = 0x90, p, 1
		if n == len(platforms)-2 {
			catalog[at] = 0x91
		}
		catalog[at+32] = 0x88
	}
	if change != nil {
		change(content)
	}
	return content
}

func TestCDs(t *testing.T) {
	checkHeaders(t, []header{
		{"for a BIOS", cd(nil, 0), "iso", ""},
		{"for EFI", cd(nil, 0xef), "iso", ""},
		{"no catalog", cd(func(b []byte) { b[17*2048+7] = 'e' }, 0), "", "no boot catalog"},
		{"catalog outside", cd(func(b []byte) { b[17*2048+74] = 0xff }, 0), "", "outside"},
		{"catalog of zeros", cd(func(b []byte) { clear(b[20*2048:]) }, 0), "", "no sense"},
		{"cut at the catalog", cd(nil, 0)[:20*2048+32], "", "outside"},
		{"cut before the record", cd(nil, 0)[:17*2048], "", "no boot catalog"},
	})
}

// partitioned is a disk with a table of GUID partitions.
func partitioned(change func([]byte), types ...string) []byte {
	content := make([]byte, 64<<10)
	content[446+4], content[510], content[511] = 0xee, 0x55, 0xaa
	copy(content[512:], "EFI PART")
	binary.LittleEndian.PutUint64(content[512+72:], 2)
	binary.LittleEndian.PutUint32(content[512+80:], 128)
	binary.LittleEndian.PutUint32(content[512+84:], 128)
	for n, guid := range types {
		copy(content[1024+128*n:], guid)
	}
	if change != nil {
		change(content)
	}
	return content
}

// clusters puts a disk into qcow2, whose tables and data lie behind the header.
func clusters(content []byte, change func([]byte)) []byte {
	const size = 1 << 16
	image := make([]byte, 5*size)
	copy(image, qcow2(func([]byte) {}))
	binary.BigEndian.PutUint32(image[20:], 16)
	binary.BigEndian.PutUint64(image[40:], 2*size)
	binary.BigEndian.PutUint64(image[2*size:], 3*size)
	binary.BigEndian.PutUint64(image[3*size:], 4*size)
	copy(image[4*size:], content)
	if change != nil {
		change(image)
	}
	return image
}

func TestTheFirmwareIsWhatTheDiskNeeds(t *testing.T) {
	const (
		esp   = "\x28\x73\x2a\xc1\x1f\xf8\xd2\x11\xba\x4b\x00\xa0\xc9\x3e\xc9\x3b"
		linux = "\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4"
	)
	code := func(b []byte) { b[0] = 0xeb }
	mbr := func(kind byte) []byte {
		b := make([]byte, 4096)
		b[446+16+4], b[510], b[511] = kind, 0x55, 0xaa
		return b
	}
	coded := func(b []byte) []byte { code(b); return b }
	endless := func(b []byte) {
		copy(b[512+80:], bytes.Repeat([]byte{0xff}, 4))
		binary.LittleEndian.PutUint32(b[512+84:], 128)
	}
	for _, tt := range []struct {
		name, format string
		content      []byte
		want         string
	}{
		{"a CD for a BIOS", "iso", cd(nil, 0), "bios"},
		{"a CD for EFI", "iso", cd(nil, 0xef), "uefi"},
		{"a CD for both", "iso", cd(nil, 0, 0xef), ""},
		{"a CD for EFI, then a BIOS", "iso", cd(nil, 0xef, 0), ""},
		{"an EFI partition", "raw", partitioned(nil, linux, esp), "uefi"},
		{"an EFI partition and code", "raw", partitioned(code, esp), ""},
		{"other partitions", "raw", partitioned(nil, linux), "none"},
		{"other partitions and code", "raw", partitioned(code, linux), "bios"},
		{"a table that is not there", "raw", partitioned(func(b []byte) { b[0], b[512] = 0xeb, 0 }, linux), ""},
		{"partitions of no size and code", "raw", partitioned(func(b []byte) { code(b); clear(b[512+84 : 512+88]) }, linux), ""},
		{"endless partitions", "raw", partitioned(endless, linux), ""},
		{"endless partitions and code", "raw", partitioned(func(b []byte) { code(b); endless(b) }, linux), ""},
		{"partitions of no size", "raw", partitioned(func(b []byte) { clear(b[512+84 : 512+88]) }, esp), ""},
		{"partitions far away", "raw", partitioned(func(b []byte) { b[512+79] = 0xff }, esp), ""},
		{"an EFI partition of the old kind", "raw", mbr(0xef), "uefi"},
		{"a Linux partition", "raw", mbr(0x83), "none"},
		{"a Linux partition and code", "raw", coded(mbr(0x83)), "bios"},
		{"a partition of FAT and code", "raw", coded(mbr(0x0c)), ""},
		{"an EFI partition of the old kind and code", "raw", coded(mbr(0xef)), ""},
		{"no partitions", "raw", make([]byte, 512), ""},
		{"qcow2 with an EFI partition", "qcow2", clusters(partitioned(nil, esp), nil), "uefi"},
		{"qcow2 with code", "qcow2", clusters(partitioned(code, esp), nil), ""},
		{"qcow2 whose table leads out", "qcow2", clusters(partitioned(nil, esp), func(b []byte) { b[2<<16+1] = 0x7f }), ""},
		{"qcow2 that is cut", "qcow2", clusters(partitioned(nil, esp), nil)[:4<<16+100], ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			if err := os.WriteFile(path, tt.content, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := disk.Firmware(path, tt.format); err != nil || got != tt.want {
				t.Errorf("firmware %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// TestTheFirmwareOfRealTables reads the beginnings of disks that sgdisk, sfdisk
// and parted made tables on, the names' second part saying what for. No
// partitioning program writes code for a BIOS: a boot loader's does.
func TestTheFirmwareOfRealTables(t *testing.T) {
	for name, want := range map[string]struct{ bare, coded string }{
		"gpt-bios":    {"none", "bios"}, // BIOS boot, Linux
		"gpt-data":    {"none", "bios"}, // swap, LVM, RAID, Linux
		"gpt-root":    {"none", "bios"},
		"gpt-hybrid":  {"none", "bios"}, // an old table beside it
		"gpt-windows": {"", ""},         // may be FAT
		"gpt-esp":     {"uefi", ""},
		"mbr-linux":   {"none", "bios"},
		"mbr-esp":     {"uefi", ""},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := os.Open(filepath.Join("testdata", "tables", name+".gz"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = file.Close() }()
			unpacked, err := gzip.NewReader(file)
			if err != nil {
				t.Fatal(err)
			}
			head, err := io.ReadAll(unpacked)
			if err != nil {
				t.Fatal(err)
			}
			for code, want := range map[byte]string{0: want.bare, 0xeb: want.coded} {
				head[0] = code
				for format, content := range map[string][]byte{disk.Raw: head, disk.Qcow2: clusters(head, nil)} {
					path := filepath.Join(t.TempDir(), "disk")
					if err := os.WriteFile(path, content, 0o600); err != nil {
						t.Fatal(err)
					}
					if got, err := disk.Firmware(path, format); err != nil || got != want {
						t.Errorf("%s that begins with %#x: firmware %q, %v; want %q", format, code, got, err, want)
					}
				}
			}
		})
	}
}

// FuzzCD: whatever is let through says how it starts.
func FuzzCD(f *testing.F) {
	f.Add(cd(nil, 0)[16*2048:])
	f.Add(cd(nil, 0xef, 0)[16*2048:])
	path := filepath.Join(f.TempDir(), "cd")
	f.Fuzz(func(t *testing.T, content []byte) {
		content = append(make([]byte, 16*2048), content...)
		header, err := disk.Read(bytes.NewReader(content), int64(len(content)))
		if err != nil || header.Format != disk.ISO {
			return
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := disk.Firmware(path, disk.ISO); err != nil && !strings.Contains(err.Error(), "catalog") {
			t.Error(err)
		}
	})
}
