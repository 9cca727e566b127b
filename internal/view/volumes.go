package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lkup/lkup/spec"
)

// VolumeRow is one volume.
type VolumeRow struct {
	Address   spec.Address   `json:"address"`
	ID        string         `json:"id"`
	Size      int            `json:"size_mib"`
	Used      int64          `json:"used"` // bytes, of the host's disk
	Format    string         `json:"format"`
	Missing   bool           `json:"missing,omitempty"` // its disk is not there
	Content   string         `json:"content,omitempty"` // nothing, ext4, something else
	Machines  []spec.Address `json:"machines"`          // that have it
	CreatedAt time.Time      `json:"created_at"`
	Path      string         `json:"path"` // of its disk
}

func (r VolumeRow) size() string {
	if r.Missing {
		return "-"
	}
	return memory(r.Size)
}

func (r VolumeRow) used() cell {
	if r.Missing {
		return cell{"its disk is not there", red}
	}
	return text(amount(r.Used))
}

func (r VolumeRow) machines() string {
	names := make([]string, len(r.Machines))
	for i, m := range r.Machines {
		names[i] = string(m)
	}
	return strings.Join(names, " ")
}

// Volumes lists volumes as a table.
func Volumes(w io.Writer, style Style, rows []VolumeRow) error {
	table := [][]cell{headers("ADDRESS", "SIZE", "USED", "FORMAT", "CREATED", "MACHINES")}
	for _, r := range rows {
		table = append(table, []cell{text(string(r.Address)), text(r.size()), r.used(), text(r.Format), text(Time(r.CreatedAt)), text(r.machines())})
	}
	return writeTable(w, style, table)
}

// Volume shows one volume.
func Volume(w io.Writer, style Style, r VolumeRow) error {
	rows := [][2]string{
		{"address", string(r.Address)}, {"id", r.ID}, {"size", r.size()}, {"used", r.used().text}, {"format", r.Format},
		{"content", r.Content}, {"machines", r.machines()}, {"created", Time(r.CreatedAt)}, {"disk", r.Path},
	}
	var b strings.Builder
	for _, row := range rows {
		if row[1] != "" {
			fmt.Fprintf(&b, "%s%s\n", style.paint(bold, fmt.Sprintf("%-10s", row[0])), Clean(row[1]))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// VolumesJSON prints volumes as a document.
func VolumesJSON(w io.Writer, rows []VolumeRow) error {
	return writeJSON(w, struct {
		FormatVersion string      `json:"format_version"`
		Volumes       []VolumeRow `json:"volumes"`
	}{FormatVersion, rows})
}

// VolumeSizes names volumes and how large they are, for a question.
func VolumeSizes(rows []VolumeRow) string {
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = fmt.Sprintf("%s (%s, %s used)", r.Address, r.size(), r.used().text)
	}
	return List(names)
}

// MiB is a size for people: "2GiB".
func MiB(n int) string { return memory(n) }
