package linuxkit_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/linuxkit"
)

// tarOfImage is the tar of the template t.yml.
func tarOfImage(t *testing.T, b *linuxkit.Builder) []byte {
	t.Helper()
	d, err := b.Resolve(context.Background(), templateImage(nil))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := b.WriteTar(context.Background(), templateImage(nil), d, &out, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func eachTarEntry(t *testing.T, content []byte, each func(h *tar.Header, content string)) {
	t.Helper()
	entries := tar.NewReader(bytes.NewReader(content))
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(entries)
		if err != nil {
			t.Fatal(err)
		}
		each(h, string(content))
	}
}

const everySection = `kernel: {image: kernel, cmdline: quiet}
init: [init, runc]
onboot: [{name: first, image: web}]
onshutdown: [{name: last, image: web}]
services: [{name: s, image: org/web, command: [/x]}]
files: [{path: etc/x/y, contents: y, mode: "0644"}]
`

// builderOfEverything has a template with every section, with a hard link and
// an extended attribute in a component.
func builderOfEverything(t *testing.T) *linuxkit.Builder {
	t.Helper()
	shelf := newShelf(t)
	shelf.images["org/web"] = image(t, v1.Config{}, []entry{{name: "x", content: "x"}, {name: "y", content: "x", kind: tar.TypeLink}})
	return newBuilder(t, shelf, map[string]string{"t.yml": everySection})
}

func TestATarSaysOfEveryEntryWhereItIsFrom(t *testing.T) {
	var lines []string
	eachTarEntry(t, tarOfImage(t, builderOfEverything(t)), func(h *tar.Header, content string) {
		if len(content) > 20 {
			content = fmt.Sprintf("%d bytes", len(content))
		}
		lines = append(lines, fmt.Sprintf("%c %04o %s %q %s%s | %s %s", h.Typeflag, h.Mode, h.ModTime.UTC().Format("2006-01-02T15:04"), h.Name, content, h.Linkname,
			h.PAXRecords["LINUXKIT.source"], h.PAXRecords["LINUXKIT.location"]))
	})
	golden(t, "tar.txt", strings.Join(lines, "\n")+"\n")
}

func TestATarHoldsWhatTheInitrdHolds(t *testing.T) {
	b := builderOfEverything(t)
	inTar, inInitrd := map[string]string{}, map[string]string{}
	eachTarEntry(t, tarOfImage(t, b), func(h *tar.Header, content string) {
		if !strings.HasPrefix(h.Name, "boot/") && h.Typeflag != tar.TypeLink {
			inTar[h.Name] = fmt.Sprintf("%o %s%s", h.Mode, content, h.Linkname)
		}
	})
	for name, node := range unpacked(t, build(t, b)) {
		if !strings.HasSuffix(name, "lower/y") { // the hard link
			inInitrd[name] = fmt.Sprintf("%o %s", node.Mode&0o7777, node.Content)
		}
	}
	if diff := cmp.Diff(inInitrd, inTar); diff != "" {
		t.Error(diff)
	}
}

func TestATarKeepsExtendedAttributes(t *testing.T) {
	shelf := newShelf(t)
	shelf.images["init"] = image(t, v1.Config{}, []entry{{name: "init", content: "init", xattr: "cap"}})
	b := newBuilder(t, shelf, map[string]string{"t.yml": simple})
	found := false
	eachTarEntry(t, tarOfImage(t, b), func(h *tar.Header, _ string) {
		found = found || h.Name == "init" && h.PAXRecords["SCHILY.xattr.security.capability"] == "cap"
	})
	if !found {
		t.Error("the attribute is gone")
	}
}

func TestTwoBuildersMakeTheSameTar(t *testing.T) {
	first := tarOfImage(t, builderOfEverything(t))
	t.Setenv("TZ", "Asia/Tokyo")
	if second := tarOfImage(t, builderOfEverything(t)); !slices.Equal(first, second) {
		t.Error("they differ")
	}
}

// What is stored by key is not made again, so a change of the bytes needs a
// change of the key: of "format" in builder.go.
func TestInitrdsStayTheSameBytes(t *testing.T) {
	golden(t, "initrds.txt", digests(t, build(t, builderOfEverything(t)).Initrds))
}

// digests are the digests of files, by line.
func digests(t *testing.T, paths []string) string {
	t.Helper()
	var lines strings.Builder
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&lines, "%x\n", sha256.Sum256(content))
	}
	return lines.String()
}
