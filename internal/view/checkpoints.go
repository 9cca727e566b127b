package view

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/lkup/lkup/spec"
)

// SavedMachine is one machine of a checkpoint, or of one to be made.
type SavedMachine struct {
	Address spec.Address `json:"address"`
	Running bool         `json:"running"`
	Memory  bool         `json:"memory"`
	Why     string       `json:"why_no_memory,omitempty"`
}

func (m SavedMachine) text() string {
	switch {
	case m.Memory:
		return "disks and memory"
	case m.Running && m.Why != "":
		return "disks only: " + m.Why
	}
	return "disks; it does not run"
}

// Saving says what a checkpoint will hold of each machine.
func Saving(w io.Writer, style Style, machines []SavedMachine) error {
	var b strings.Builder
	for _, m := range machines {
		fmt.Fprintf(&b, "%s: %s\n", style.paint(bold, string(m.Address)), Clean(m.text()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// CheckpointRow is one checkpoint, or one snapshot.
type CheckpointRow struct {
	Name      string         `json:"name"`
	Of        spec.Address   `json:"of,omitempty"` // the machine of a snapshot
	CreatedAt time.Time      `json:"created_at"`
	Machines  []SavedMachine `json:"machines"`
	Volumes   []spec.Address `json:"volumes"`
	Size      int64          `json:"size"` // bytes, on the host's disk
}

// contents sums up what is in it: "2 machines, 1 with memory".
func (r CheckpointRow) contents() string {
	warm := 0
	for _, m := range r.Machines {
		if m.Memory {
			warm++
		}
	}
	switch {
	case len(r.Machines) == 0:
		return "no machines"
	case warm == 0:
		return Count(len(r.Machines), "machine") + ", disks only"
	case warm == len(r.Machines):
		return Count(len(r.Machines), "machine") + ", with memory"
	}
	return fmt.Sprintf("%s, %d with memory", Count(len(r.Machines), "machine"), warm)
}

// Checkpoints lists them as a table.
func Checkpoints(w io.Writer, style Style, rows []CheckpointRow) error {
	snapshots := len(rows) > 0 && rows[0].Of != ""
	table := [][]cell{headers("NAME", "CREATED", "SIZE", "HOLDS", "VOLUMES")}
	if snapshots {
		table[0] = append(headers("OF"), table[0]...)
	}
	for _, r := range rows {
		volumes := make([]string, len(r.Volumes))
		for i, v := range r.Volumes {
			volumes[i] = string(v)
		}
		row := []cell{text(r.Name), text(Time(r.CreatedAt)), text(Bytes(r.Size)), text(r.contents()), text(strings.Join(volumes, " "))}
		if snapshots {
			row = append([]cell{text(string(r.Of))}, row...)
		}
		table = append(table, row)
	}
	return writeTable(w, style, table)
}

// CheckpointsJSON prints them as a document.
func CheckpointsJSON(w io.Writer, rows []CheckpointRow) error {
	for i := range rows {
		if rows[i].Machines == nil {
			rows[i].Machines = []SavedMachine{}
		}
	}
	return writeJSON(w, struct {
		FormatVersion string          `json:"format_version"`
		Checkpoints   []CheckpointRow `json:"checkpoints"`
	}{FormatVersion, rows})
}

// Bytes is an amount for people: "1.5 GiB".
func Bytes(n int64) string { return amount(n) }

// Duration is a time for people: "0.3s".
func Duration(d time.Duration) string { return short(d) }

// Time is a moment for people, in their own zone.
func Time(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// Sentence begins with a capital letter.
func Sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}
