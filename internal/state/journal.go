package state

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/lkup/lkup/spec"
)

// Entry is one effect on the world: it is written before the effect, and again
// when it is over.
type Entry struct {
	Seq     int64        `json:"seq"`
	Time    time.Time    `json:"time"`
	Address spec.Address `json:"address"`
	ID      string       `json:"id"`
	Effect  string       `json:"effect"` // create, start, stop, delete
	Done    bool         `json:"done,omitempty"`
}

// journal is a file of entries, one a line. A last line that a crash cut is
// passed over: its effect had not begun.
type journal struct {
	mu         sync.Mutex
	file       *os.File
	seq        int64
	open       map[int64]bool
	unfinished []Entry
}

func openJournal(path string) (*journal, error) {
	j := &journal{open: map[int64]bool{}}
	var err error
	if j.unfinished, j.seq, err = readJournal(path); err != nil {
		return nil, err
	}
	j.file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, plain(path, err)
	}
	return j, nil
}

// readJournal gives the entries without an end, and the highest number used.
func readJournal(path string) (unfinished []Entry, last int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	begun := map[int64]Entry{}
	var order []int64
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		last = max(last, e.Seq)
		if e.Done {
			delete(begun, e.Seq)
			continue
		}
		begun[e.Seq] = e
		order = append(order, e.Seq)
	}
	for _, seq := range order {
		if e, open := begun[seq]; open {
			unfinished = append(unfinished, e)
		}
	}
	return unfinished, last, lines.Err()
}

// Begin journals an effect before it happens. The function it returns journals
// its end; what is not ended is found by the next run. With nothing under way
// the journal is emptied.
func (s *Store) Begin(e Entry) (end func() error, err error) {
	j := s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq = j.seq
	if err := j.append(e); err != nil {
		return nil, err
	}
	j.open[e.Seq] = true
	return func() error { return j.end(e) }, nil
}

func (j *journal) end(e Entry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.open, e.Seq)
	if len(j.open) == 0 {
		return j.file.Truncate(0)
	}
	e.Done = true
	return j.append(e)
}

func (j *journal) append(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("journal %s of %s: %w", e.Effect, e.Address, plain(j.file.Name(), err))
	}
	return j.file.Sync()
}

func (j *journal) close() error { return j.file.Close() }
