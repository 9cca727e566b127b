package volume_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/internal/volume"
)

var disks = volume.Disks{LookPath: exec.LookPath}

func data(t *testing.T, format string) drivers.Volume {
	return drivers.Volume{Name: "data", Path: filepath.Join(t.TempDir(), "disk, 1."+format), Format: format, Size: 16, Guest: "/data"}
}

func TestANewVolumeIsFormattedAndTheSameEachTime(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"raw", "qcow2"} {
		first, second := data(t, format), data(t, format)
		for _, v := range []drivers.Volume{first, second} {
			if err := disks.Format(t.Context(), v, "0a1b2c3d"); err != nil {
				t.Fatal(err)
			}
			holds(t, v, volume.Ext4)
			size, used, err := volume.Size(v.Path, format)
			if err != nil || size != 16 || used > 6<<20 {
				t.Errorf("%s: %d MiB that take %d bytes, %v; want 16 MiB that take few", format, size, used, err)
			}
			left, err := os.ReadDir(filepath.Dir(v.Path))
			if err != nil || len(left) != 1 {
				t.Errorf("%s: besides the disk, %v is there, %v", format, left, err)
			}
			info, err := os.Stat(v.Path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v; want a private file", format, info, err)
			}
		}
		if !bytes.Equal(read(t, first.Path), read(t, second.Path)) {
			t.Errorf("%s: the same volume has other bytes the second time", format)
		}
		other := data(t, format)
		if err := disks.Format(t.Context(), other, "ffffffff"); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(read(t, first.Path), read(t, other.Path)) {
			t.Errorf("%s: another volume has the same identity", format)
		}
	}
}

// TestWhatHoldsAnythingIsNeverFormatted is the law of this package.
func TestWhatHoldsAnythingIsNeverFormatted(t *testing.T) {
	t.Parallel()
	formatted := data(t, "raw")
	if err := disks.Format(t.Context(), formatted, "0a1b2c3d"); err != nil {
		t.Fatal(err)
	}
	whole := read(t, formatted.Path)
	for name, test := range map[string]struct {
		content []byte
		refused bool
	}{
		"a file system":                   {whole, false},
		"one that is larger than before":  {append(bytes.Clone(whole), make([]byte, 8<<20)...), false},
		"one that was cut":                {whole[:8<<20], false}, // the guest says what is wrong with it
		"one whose superblock is zeroed":  {patched(whole, 1024, make([]byte, 1024)), true},
		"one whose magic number is wrong": {patched(whole, 1024+0x38, []byte{0, 0}), true},
		"ext2":                            {patched(whole, 1024+0x60, []byte{2, 0, 0, 0}), true},
		"text":                            {patched(make([]byte, 16<<20), 0, []byte("kept")), true},
		"one byte at its end":             {patched(make([]byte, 16<<20), 16<<20-1, []byte{1}), true},
		"less than a superblock":          {[]byte("short"), true},
	} {
		t.Run(name, func(t *testing.T) {
			raw := data(t, "raw")
			if err := os.WriteFile(raw.Path, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			packed := data(t, "qcow2")
			convert(t, raw.Path, packed.Path)
			for _, v := range []drivers.Volume{raw, packed} {
				before := read(t, v.Path)
				err := disks.Format(t.Context(), v, "0a1b2c3d")
				if refused := err != nil; refused != test.refused {
					t.Errorf("%s: %v, want refused: %t", v.Format, err, test.refused)
				}
				if err != nil && !strings.Contains(err.Error(), "volume data holds something else") {
					t.Errorf("%s: the error does not say what is wrong: %v", v.Format, err)
				}
				if !bytes.Equal(before, read(t, v.Path)) {
					t.Errorf("%s: it was changed", v.Format)
				}
			}
		})
	}
}

func TestABlankVolumeIsFormatted(t *testing.T) {
	t.Parallel()
	sparse, full := data(t, "raw"), data(t, "raw")
	if err := errors.Join(os.WriteFile(sparse.Path, nil, 0o600), os.Truncate(sparse.Path, 16<<20), os.WriteFile(full.Path, make([]byte, 16<<20), 0o600)); err != nil {
		t.Fatal(err)
	}
	packed := data(t, "qcow2")
	convert(t, sparse.Path, packed.Path)
	for _, v := range []drivers.Volume{sparse, full, packed} {
		holds(t, v, volume.Blank)
		if err := disks.Format(t.Context(), v, "0a1b2c3d"); err != nil {
			t.Fatal(err)
		}
		holds(t, v, volume.Ext4)
	}
}

// TestWhatAKilledFormattingLeftIsReplaced: the disk has its name only once it
// is whole, so what a crash leaves is another file.
func TestWhatAKilledFormattingLeftIsReplaced(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"raw", "qcow2"} {
		v := data(t, format)
		for _, left := range []string{v.Path + ".format", v.Path + ".part"} {
			if err := os.WriteFile(left, []byte("half of a file system"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := disks.Format(t.Context(), v, "0a1b2c3d"); err != nil {
			t.Fatal(err)
		}
		holds(t, v, volume.Ext4)
	}
	// A formatter that fails leaves nothing that looks like a volume.
	v := data(t, "raw")
	failing := volume.Disks{LookPath: func(string) (string, error) { return "/bin/false", nil }}
	if err := failing.Format(t.Context(), v, "0a1b2c3d"); err == nil || !strings.Contains(err.Error(), "format volume data") {
		t.Errorf("a formatter that fails: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(v.Path)); err != nil || len(left) != 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func TestFileSystemsOfVolumesAreSound(t *testing.T) {
	t.Parallel()
	v := data(t, "raw")
	if err := disks.Format(t.Context(), v, "0a1b2c3d"); err != nil {
		t.Fatal(err)
	}
	program, err := disks.Formatter()
	if err != nil {
		t.Fatal(err)
	}
	if output, err := exec.Command(filepath.Join(filepath.Dir(program), "e2fsck"), "-f", "-n", v.Path).CombinedOutput(); err != nil {
		t.Errorf("e2fsck: %v\n%s", err, output)
	}
}

func TestDamagedHeadersAreErrors(t *testing.T) {
	t.Parallel()
	sound := data(t, "qcow2")
	if err := disks.Format(t.Context(), sound, "0a1b2c3d"); err != nil {
		t.Fatal(err)
	}
	whole := read(t, sound.Path)
	for name, content := range map[string][]byte{
		"empty": nil, "short": whole[:20], "raw": []byte(strings.Repeat("no qcow2 ", 20)),
		"a table without end":  patched(whole, 36, []byte{0xff, 0xff, 0xff, 0xff}),
		"a table out of sight": patched(whole, 40, []byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0}),
	} {
		v := data(t, "qcow2")
		if err := os.WriteFile(v.Path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := disks.Format(t.Context(), v, "0a1b2c3d"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want an error", name, err)
		}
		if diff := cmp.Diff(content, read(t, v.Path)); diff != "" && len(content) > 0 {
			t.Errorf("%s: it was changed", name)
		}
	}
}

func holds(t *testing.T, v drivers.Volume, want volume.Content) {
	t.Helper()
	if got, err := disks.Look(t.Context(), v.Path, v.Format); err != nil || got != want {
		t.Errorf("%s holds %q, %v, want %q", v.Format, got, err, want)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func patched(content []byte, at int, with []byte) []byte {
	changed := bytes.Clone(content)
	copy(changed[at:], with)
	return changed
}

func convert(t *testing.T, from, to string) {
	t.Helper()
	if output, err := exec.Command("qemu-img", "convert", "-f", "raw", "-O", "qcow2", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
}
