package disk_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/lkup/lkup/sources/disk"
)

// smallDisk is what bzipped holds; Go has no writer of bzip2.
func smallDisk() []byte {
	content := make([]byte, 300_000)
	content[0], content[250_000] = 7, 9
	return content
}

const bzipped = "QlpoOTFBWSZTWXxQHzoACTRCAMCggACACCAAIKVGmgwDRCzgQsxUVL29SiPi7kinChIPigPnQA=="

func packed(t testing.TB, how string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch how {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "xz":
		w, err = xz.NewWriter(&b)
	case "zstd":
		w, err = zstd.NewWriter(&b)
	case "bzip2":
		if !bytes.Equal(content, smallDisk()) {
			t.Fatal("only smallDisk is packed with bzip2")
		}
		ready, err := base64.StdEncoding.DecodeString(bzipped)
		if err != nil {
			t.Fatal(err)
		}
		return ready
	default:
		t.Fatalf("no packing %q", how)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var allPackings = []string{"gzip", "xz", "zstd", "bzip2"}

func TestAPackedDiskIsUnpacked(t *testing.T) {
	for _, how := range allPackings {
		t.Run(how, func(t *testing.T) {
			content := packed(t, how, smallDisk())
			images := newImages(t, disk.Limits{})
			a, err := artifact(t, images, content)
			if err != nil {
				t.Fatal(err)
			}
			if a.DiskFormat != disk.Raw || !bytes.Equal(read(t, a.Disk), smallDisk()) {
				t.Errorf("it became another disk, %s", a.DiskFormat)
			}
			info, err := os.Stat(a.Disk)
			if err != nil || info.Mode().Perm() != 0o444 || info.Sys().(*syscall.Stat_t).Blocks*512 > 200_000 {
				t.Errorf("mode %v, holes are filled, or %v", info.Mode(), err)
			}
			if blob, _ := images.Store.Blob(a.Digest); !bytes.Equal(read(t, blob), content) {
				t.Error("the digest is not that of the packed file")
			}
			for _, cut := range []int{7, len(content) / 2, len(content) - 1} {
				if _, err := artifact(t, newImages(t, disk.Limits{}), content[:cut]); err == nil {
					t.Errorf("its first %d bytes of %d were taken for whole", cut, len(content))
				}
			}
		})
	}
}

func TestAPackedDiskOfAnotherFormat(t *testing.T) {
	for name, inner := range map[string][]byte{
		"qcow2": qcow2(func([]byte) {}),
		"raw":   read(t, makeVMDK(t, "streamOptimized")), // a VMDK becomes raw
	} {
		a, err := artifact(t, newImages(t, disk.Limits{}), packed(t, "zstd", inner))
		if err != nil || a.DiskFormat != name {
			t.Errorf("%s: got %q, %v", name, a.DiskFormat, err)
			continue
		}
		left, err := filepath.Glob(filepath.Join(filepath.Dir(a.Disk), "*"))
		if err != nil || len(left) != 2 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
}

func TestAPackedTrapIsRefused(t *testing.T) {
	limits := disk.Limits{Size: 64 << 20, Data: 1 << 20, Ratio: 2}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"too many zeros":        {packed(t, "gzip", make([]byte, 65<<20)), "larger than 64 MiB"},
		"too much data":         {packed(t, "gzip", bytes.Repeat([]byte{1}, 2<<20)), "more than 1 MiB of data"},
		"too much data of zstd": {packed(t, "zstd", bytes.Repeat([]byte{1}, 2<<20)), "more than 1 MiB of data"},
		"packed twice":          {packed(t, "gzip", packed(t, "xz", smallDisk())), "packed twice, with gzip and xz"},
		"backing file inside":   {packed(t, "xz", qcow2(set64(8, 0x200))), "backing file"},
		"tar inside":            {packed(t, "gzip", append(make([]byte, 257), "ustar\x00"+strings.Repeat("\x00", 512)...)), "tar archive"},
		"a text inside":         {packed(t, "gzip", []byte("hello")), "too short"},
		"rubbish after gzip":    {append(packed(t, "gzip", smallDisk()), "rubbish"...), "gzip"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := artifact(t, newImages(t, limits), c.content)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error with %q, got %v", c.want, err)
			}
		})
	}
}

func TestAnUnpackedDiskIsKeptForItsPackedOne(t *testing.T) {
	images := newImages(t, disk.Limits{})
	a, err := artifact(t, images, packed(t, "gzip", smallDisk()))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := images.Store.Entries()
	if err != nil {
		t.Fatal(err)
	}
	if needed := entries.Needed(a.Digest); len(needed) != 2 {
		t.Errorf("the disk needs %v, want itself and what it was unpacked to", needed)
	}
}
