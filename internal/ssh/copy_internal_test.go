package ssh

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
)

// hostile is the file server of a guest that lies.
type hostile struct {
	entries func(dir string, offset int) []os.FileInfo
	content io.ReaderAt
	link    string
}

func (h hostile) Fileread(*sftp.Request) (io.ReaderAt, error)  { return h.content, nil }
func (h hostile) Filewrite(*sftp.Request) (io.WriterAt, error) { return nil, fs.ErrPermission }
func (h hostile) Filecmd(*sftp.Request) error                  { return fs.ErrPermission }
func (h hostile) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	switch r.Method {
	case "Stat", "Lstat", "Fstat":
		return listing{func(int) []os.FileInfo { return []os.FileInfo{entry{filepath.Base(r.Filepath), fs.ModeDir | 0o755, 0}} }, 1}, nil
	}
	return listing{func(offset int) []os.FileInfo { return h.entries(r.Filepath, offset) }, 0}, nil
}

func (h hostile) Readlink(string) (string, error) { return h.link, nil }

// listing answers with entries for as long as there are some.
type listing struct {
	at   func(offset int) []os.FileInfo
	most int
}

func (l listing) ListAt(into []os.FileInfo, offset int64) (int, error) {
	if l.most > 0 && offset >= int64(l.most) {
		return 0, io.EOF
	}
	n := copy(into, l.at(int(offset)))
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

type entry struct {
	name string
	mode fs.FileMode
	size int64
}

func (e entry) Name() string       { return e.name }
func (e entry) Size() int64        { return e.size }
func (e entry) Mode() fs.FileMode  { return e.mode }
func (e entry) ModTime() time.Time { return time.Time{} }
func (e entry) IsDir() bool        { return e.mode.IsDir() }
func (e entry) Sys() any           { return nil }

// once lists some entries of the tree's root, and nothing below it.
func once(all ...os.FileInfo) func(string, int) []os.FileInfo {
	return func(dir string, offset int) []os.FileInfo {
		if dir != "/tree" || offset >= len(all) {
			return nil
		}
		return all[offset:]
	}
}

// endless is a file without an end.
type endless struct{}

func (endless) ReadAt(p []byte, _ int64) (int, error) { return len(p), nil }

func lied(t *testing.T, h hostile) *Copier {
	t.Helper()
	here, there := net.Pipe()
	server := sftp.NewRequestServer(there, sftp.Handlers{FileGet: h, FilePut: h, FileCmd: h, FileList: h})
	go func() { _ = server.Serve() }() // ends with the pipe
	b := &budget{Reader: here}
	client, err := sftp.NewClientPipe(b, here)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = client.Close(), here.Close(), there.Close() })
	return &Copier{client: client, budget: b}
}

func TestAGuestThatLiesWritesNothingElsewhere(t *testing.T) {
	deep := func(dir string, offset int) []os.FileInfo {
		if offset > 0 {
			return nil
		}
		return []os.FileInfo{entry{"d", fs.ModeDir | 0o755, 0}}
	}
	wide := func(_ string, offset int) []os.FileInfo {
		all := make([]os.FileInfo, 100)
		for i := range all {
			all[i] = entry{fmt.Sprintf("%0200d", offset+i), 0o644, 0}
		}
		return all
	}
	for _, tt := range []struct {
		name string
		h    hostile
		want string // in the error
	}{
		{"parent", hostile{entries: once(entry{"..", fs.ModeDir | 0o755, 0}, entry{"../evil", 0o644, 1}), content: strings.NewReader("x")}, ""},
		{"the parent, behind a name", hostile{entries: once(entry{"x/..", fs.ModeDir | 0o755, 0})}, `".."`},
		{"no name", hostile{entries: once(entry{"", 0o644, 1})}, "no name of a file"},
		{"nul", hostile{entries: once(entry{"a\x00b", 0o644, 1})}, "no name of a file"},
		{"a link, then a directory of its name", hostile{entries: once(entry{"a", fs.ModeSymlink | 0o777, 0}, entry{"a", fs.ModeDir | 0o755, 0}), link: "b"}, "is a directory, and"},
		{"endless file", hostile{entries: once(entry{"f", 0o644, 10}), content: endless{}}, "goes on after"},
		{"endless depth", hostile{entries: deep}, "more than 200 directories deep"},
		{"endless directory", hostile{entries: wide}, "no end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parent := t.TempDir()
			to := filepath.Join(parent, "to")
			_, err := lied(t, tt.h).Pull("/tree", to)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			left, err := os.ReadDir(parent)
			if err != nil || len(left) != 1 || left[0].Name() != "to" {
				t.Errorf("beside the target: %v, %v", left, err)
			}
			err = filepath.WalkDir(to, func(path string, _ fs.DirEntry, err error) error {
				if strings.HasSuffix(path, ".part") {
					t.Errorf("left %s", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLeadsOut(t *testing.T) {
	for _, tt := range []struct {
		at, target string
		out        bool
	}{
		{"a", "b", false}, {"a", "./b//c", false}, {"d/a", "../b", false}, {"d/e/a", "../../b", false},
		{"a", "..", true}, {"a", "../b", true}, {"d/a", "../../b", true}, {"a", "/b", true}, {"a", "", true},
		{"d/a", "x/../y", true}, {"d/a", "x/../../y", true}, {"a", "b\x00c", true}, {"a", ".", false},
	} {
		if got := leadsOut(tt.at, tt.target); got != tt.out {
			t.Errorf("leadsOut(%q, %q) = %v", tt.at, tt.target, got)
		}
	}
}
