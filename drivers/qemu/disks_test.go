package qemu_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/drivers/qemu"
	"github.com/lkup/lkup/internal/porttest"
)

// sectors fills a disk with a word for each of its beginnings.
func sectors(words ...string) []byte {
	content := make([]byte, 1<<20)
	for n, w := range words {
		copy(content[n*512:], w)
	}
	return content
}

// TestEachMachineWritesToItsOwnLayer runs two machines on one image at once;
// what one writes it has after a restart, and the image stays as it was.
func TestEachMachineWritesToItsOwnLayer(t *testing.T) {
	base := filepath.Join(t.TempDir(), "base, shared")
	content := sectors("base")
	if err := os.WriteFile(base, content, 0o400); err != nil {
		t.Fatal(err)
	}
	d := qemu.New(qemu.Settings{})
	writer, other := onDisk(t, base), onDisk(t, base)
	launched(t, d, writer)
	launched(t, d, other)
	if _, err := d.Stop(t.Context(), other, 0); err != nil { // two guests boot no faster than one
		t.Fatal(err)
	}
	if got := answer(t, writer, http.MethodGet, nil); !bytes.Equal(got, content) {
		t.Errorf("the machine reads %.20q, want the image", got)
	}
	written := sectors("of the writer")
	answer(t, writer, http.MethodPut, written)
	report, err := d.Stop(t.Context(), writer, 3*time.Minute) // it writes what it has not written yet
	if err != nil || report.By != drivers.StopACPI {
		log, _ := os.ReadFile(filepath.Join(writer.Dir, drivers.ConsoleLog)) // if it can be read
		t.Fatalf("stop: %+v, %v\n%s", report, err, log)
	}
	if err := d.Start(t.Context(), writer); err != nil {
		t.Fatal(err)
	}
	if got := answer(t, writer, http.MethodGet, nil); !bytes.Equal(got, written) {
		t.Errorf("after a restart it reads %.20q, want what it wrote", got)
	}
	if got, err := os.ReadFile(base); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the image was changed: %.20q, %v", got, err)
	}
}

// onDisk is a machine with a kernel, one disk, and a port for its guest.
func onDisk(t *testing.T, base string) drivers.Machine {
	t.Helper()
	m := machine(t, t.TempDir())
	m.Boot.Disks = []drivers.Disk{{Path: base, Format: "raw"}}
	m.Ports = []drivers.Port{{Address: "127.0.0.1", Host: porttest.Of(t).First, Guest: 80, Protocol: "tcp"}}
	return m
}

// answer reads or writes the guest's first disk, whole.
func answer(t *testing.T, m drivers.Machine, method string, body []byte) []byte {
	t.Helper()
	// A connection that is made before the guest listens may never answer.
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var content []byte
	until(t, "the guest answers", func() bool {
		url := fmt.Sprintf("http://127.0.0.1:%d/file/dev/vda", m.Ports[0].Host)
		request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		if content, err = io.ReadAll(response.Body); err != nil {
			return false
		}
		if response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s %s", method, response.Status, content)
		}
		return true
	})
	return content
}

// TestAMachineBootsFromItsFirstDisk gives it a boot sector that writes to the
// serial port: assembled from the lines in its comments.
func TestAMachineBootsFromItsFirstDisk(t *testing.T) {
	const says = "booted from the first disk\n"
	disk := make([]byte, 1<<20)
	copy(disk, "\x31\xc0"+ // xor ax, ax
		"\x8e\xd8"+ // mov ds, ax
		"\xbe\x16\x7c"+ // mov si, 0x7c16, which is where the text is
		"\xfc"+ // cld
		"\xac"+ // next: lodsb
		"\x84\xc0"+ // test al, al
		"\x74\x06"+ // jz end
		"\xba\xf8\x03"+ // mov dx, 0x3f8, the first serial port
		"\xee"+ // out dx, al
		"\xeb\xf5"+ // jmp next
		"\xf4"+ // end: hlt
		"\xeb\xfd"+ // jmp end
		says)
	copy(disk[510:], "\x55\xaa")
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	if err := os.WriteFile(first, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(second, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	d, m := qemu.New(qemu.Settings{}), machine(t, t.TempDir())
	m.Arch = "amd64" // any host emulates it
	m.Boot = drivers.Boot{Disks: []drivers.Disk{{Path: first, Format: "raw"}, {Path: second, Format: "raw"}}}
	launched(t, d, m)
	var log []byte
	until(t, "the boot sector is heard", func() bool {
		var err error
		log, err = os.ReadFile(filepath.Join(m.Dir, drivers.ConsoleLog))
		return err == nil && strings.HasSuffix(string(log), "disk\n")
	})
	if diff := cmp.Diff(says, string(log)); diff != "" {
		t.Errorf("console (-want +got):\n%s", diff)
	}
}
