package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"
)

// Verdicts of an entry.
const (
	Allowed = "allowed"
	Refused = "refused"
	Failed  = "failed" // allowed, and not reached
)

// Entry is one request in the log. It holds no content, no query and no header.
type Entry struct {
	Time     time.Time `json:"time"` // when it began
	Kind     string    `json:"kind"` // connect, http or the name of an API
	Method   string    `json:"method,omitempty"`
	Host     string    `json:"host"`
	Port     int       `json:"port"`
	Path     string    `json:"path,omitempty"`
	Status   int       `json:"status,omitempty"`
	Sent     int64     `json:"sent_bytes"` // by the guest
	Received int64     `json:"received_bytes"`
	Verdict  string    `json:"verdict"`
	Why      string    `json:"why,omitempty"`
}

// mostText is how long a text of an entry may be: a guest chooses it.
const mostText = 512

func (e Entry) clipped() Entry {
	for _, text := range []*string{&e.Method, &e.Host, &e.Path, &e.Why} {
		if len(*text) > mostText {
			*text = (*text)[:mostText] + "..."
		}
	}
	return e
}

// mostLog is how large a log becomes, in bytes, before it is begun anew; the one
// before it is kept.
const mostLog = 8 << 20

// Log is a file of entries, one a line. It is safe for concurrent use.
type Log struct {
	path string
	mu   sync.Mutex
}

// OpenLog is the log in a file, which need not be there.
func OpenLog(path string) *Log { return &Log{path: path} }

// OldLog is where a log lies that was full.
func OldLog(path string) string { return path + ".old" }

// Add writes an entry; it is in the file when Add returns.
func (l *Log) Add(e Entry) error {
	content, err := json.Marshal(e.clipped())
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if info, err := os.Stat(l.path); err == nil && info.Size() > mostLog {
		if err := os.Rename(l.path, OldLog(l.path)); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(content, '\n'))
	return errors.Join(err, file.Close())
}

// ReadLog reads a log, the full one before it first. A last line that was cut
// off is left out.
func ReadLog(path string) ([]Entry, error) {
	var all []Entry
	for _, name := range []string{OldLog(path), path} {
		file, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		decoder := json.NewDecoder(file)
		for decoder.More() {
			var e Entry
			if decoder.Decode(&e) != nil {
				break
			}
			all = append(all, e)
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
	return all, nil
}
