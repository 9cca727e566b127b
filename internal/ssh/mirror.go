package ssh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/lkup/lkup/reconciler"
)

var _ reconciler.Mirrorer = (*Conn)(nil)

// mirrorRecord is the file in a mirrored directory that says what was copied
// there. It lies where the copies do, so that it is lost exactly when they are.
const mirrorRecord = ".lkup-share.json"

// recordLimit bounds a record, in bytes: it is some 200 for each file.
const recordLimit = 256 << 20

// mirrorEntry is what tells one state of a file of the host from another.
type mirrorEntry struct {
	Mode     fs.FileMode `json:"mode"`
	Size     int64       `json:"size,omitempty"`
	Modified time.Time   `json:"modified,omitzero"`
	ID       uint64      `json:"id,omitempty"` // the inode's number
}

// mirror is one mirroring.
type mirror struct {
	*Copier
	root   *os.Root
	to     string
	listed map[string]mirrorEntry
	given  map[string]mirrorEntry // by the record, kept as it shall be
	done   reconciler.Mirrored
}

// Mirror brings a directory of the guest what has changed in one of the host
// since the last time, deletions too. What the guest itself made or changed
// there stays, until the host's file of that name changes. Links are copied as
// they are. Modes are kept, owners are not.
func (c *Conn) Mirror(ctx context.Context, from, to string) (reconciler.Mirrored, error) {
	copier, err := c.Copier(ctx)
	if err != nil {
		return reconciler.Mirrored{}, err
	}
	defer copier.Close()
	root, err := os.OpenRoot(from)
	if err != nil {
		return reconciler.Mirrored{}, err
	}
	defer root.Close()
	m := &mirror{Copier: copier, root: root, to: to, listed: map[string]mirrorEntry{}}
	err = m.run()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	m.done.LeftOut, m.done.Bytes = copier.leftOut, copier.bytes.Load()
	return m.done, err
}

func (m *mirror) run() error {
	if err := m.list(".", 0); err != nil {
		return err
	}
	if err := m.client.MkdirAll(m.to); err != nil {
		return fmt.Errorf("%s: %w", m.to, plainly(err))
	}
	if err := m.readRecord(); err != nil {
		return err
	}
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(m.listed)) {
		if had, there := m.given[name]; !there || !had.same(m.listed[name]) {
			changed = append(changed, name)
		}
	}
	gone := m.gone()
	if len(changed)+len(gone) == 0 {
		return nil
	}
	// What is sent from here on is known to be, whoever is killed when.
	for _, name := range changed {
		m.given[name] = mirrorEntry{Mode: m.given[name].Mode}
	}
	err := m.writeRecord()
	if err == nil {
		err = m.delete(gone)
	}
	if err == nil {
		err = m.sendAll(changed)
	}
	return errors.Join(err, m.writeRecord())
}

// list notes what a directory holds.
func (m *mirror) list(dir string, depth int) error {
	entries, err := readDir(m.root, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if name == mirrorRecord {
			continue
		}
		if err := m.count(name, depth); err != nil {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			return err
		}
		if err := m.note(name, info, depth); err != nil {
			return err
		}
	}
	return nil
}

func (m *mirror) note(name string, info fs.FileInfo, depth int) error {
	switch info.Mode().Type() {
	case fs.ModeDir:
		m.listed[name] = mirrorEntry{Mode: info.Mode()}
		err := m.list(name, depth+1)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	case 0, fs.ModeSymlink:
		e := mirrorEntry{Mode: info.Mode(), Size: info.Size(), Modified: info.ModTime().UTC()}
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			e.ID = s.Ino
		}
		m.listed[name] = e
	default:
		m.leaveOut(name, "is "+kind(info.Mode()))
	}
	return nil
}

func (e mirrorEntry) same(o mirrorEntry) bool {
	return e.Mode == o.Mode && e.Size == o.Size && e.ID == o.ID && e.Modified.Equal(o.Modified)
}

// gone lists what is to be deleted, what lies deeper first: what the host no
// longer has, or has as something else.
func (m *mirror) gone() []string {
	var all []string
	for name, had := range m.given {
		if now, there := m.listed[name]; !there || now.Mode.IsDir() != had.Mode.IsDir() {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	slices.Reverse(all)
	return all
}

// delete removes what was copied. A directory in which the guest has something
// of its own stays.
func (m *mirror) delete(names []string) error {
	for _, name := range names {
		at := path.Join(m.to, name)
		var err error
		if m.given[name].Mode.IsDir() {
			if left, listing := m.client.ReadDir(at); listing == nil && len(left) == 0 {
				err = m.client.RemoveDirectory(at)
			}
		} else if err = m.client.Remove(at); err == nil {
			m.done.Deleted++
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete %s: %w", at, plainly(err))
		}
		delete(m.given, name)
	}
	return nil
}

// sendAll copies files. Directories come before what is in them; one that the
// guest took away is made anew.
func (m *mirror) sendAll(names []string) error {
	made := map[string]bool{}
	for _, name := range names {
		if dir := path.Dir(path.Join(m.to, name)); !made[dir] {
			if err := m.client.MkdirAll(dir); err != nil {
				return fmt.Errorf("%s: %w", dir, plainly(err))
			}
			made[dir] = true
		}
		err := m.sendOne(name, path.Join(m.to, name), m.listed[name].Mode)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile, and the next time says so
		}
		if err != nil {
			return err
		}
		m.given[name] = m.listed[name]
	}
	return nil
}

func (m *mirror) sendOne(name, to string, mode fs.FileMode) error {
	if mode.IsDir() {
		if err := m.makeDir(to); err != nil {
			return fmt.Errorf("%s: %w", to, plainly(err))
		}
		return m.client.Chmod(to, mode.Perm())
	}
	if mode.Type() == fs.ModeSymlink {
		m.done.Sent++
		return m.pushLink(m.root, name, to)
	}
	in, err := m.root.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	m.done.Sent++
	return m.send(in, to, mode)
}

func (m *mirror) recordPath() string { return path.Join(m.to, mirrorRecord) }

// readRecord reads what was copied before. One that is not there, or that the
// guest has spoilt, says that nothing was.
func (m *mirror) readRecord() error {
	m.given = map[string]mirrorEntry{}
	f, err := m.client.Open(m.recordPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.recordPath(), plainly(err))
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, recordLimit))
	if err != nil {
		return fmt.Errorf("%s: %w", m.recordPath(), plainly(err))
	}
	given := map[string]mirrorEntry{}
	if json.Unmarshal(content, &given) != nil {
		return nil
	}
	maps.DeleteFunc(given, func(name string, _ mirrorEntry) bool { return !fs.ValidPath(name) || name == "." })
	m.given = given
	return nil
}

func (m *mirror) writeRecord() error {
	content, err := json.Marshal(m.given)
	if err != nil {
		return err
	}
	part := m.recordPath() + ".part"
	out, err := m.client.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("%s: %w", part, plainly(err))
	}
	_, err = out.ReadFrom(strings.NewReader(string(content)))
	if err = errors.Join(err, out.Close()); err == nil {
		err = m.client.PosixRename(part, m.recordPath())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", m.recordPath(), plainly(err))
	}
	return nil
}
