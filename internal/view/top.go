package view

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// TopRow is what one machine uses of the host.
type TopRow struct {
	Address  spec.Address  `json:"address"`
	Name     string        `json:"name"`
	Status   drivers.State `json:"status"`
	PID      int           `json:"pid,omitempty"`
	CPUs     int           `json:"cpus"`
	Guest    int           `json:"memory_mib"` // that the guest has
	Measured bool          `json:"measured"`   // else what follows is not known
	CPU      float64       `json:"cpu"`        // 1 is one CPU of the host
	Resident int64         `json:"resident_bytes"`
	Read     float64       `json:"read_bytes_per_second"`
	Written  float64       `json:"written_bytes_per_second"`
	Uptime   time.Duration `json:"-"`
}

// TopText prints what machines use as a table, and the sum.
func TopText(w io.Writer, style Style, rows []TopRow) error {
	table := [][]cell{headers("NAME", "STATUS", "CPU", "CPUS", "HOST MEMORY", "GUEST MEMORY", "READ", "WRITTEN", "UPTIME")}
	var sum TopRow
	for _, r := range rows {
		measured := []cell{text("-"), text("-"), text("-"), text("-")}
		if r.Measured {
			measured = topCells(r)
			sum.CPU, sum.Resident, sum.Read, sum.Written = sum.CPU+r.CPU, sum.Resident+r.Resident, sum.Read+r.Read, sum.Written+r.Written
		}
		table = append(table, []cell{
			text(r.Name), statusCell(PsRow{Status: r.Status}),
			measured[0], text(strconv.Itoa(r.CPUs)), measured[1], text(memory(r.Guest)), measured[2], measured[3], text(uptime(r.Uptime)),
		})
	}
	if len(rows) > 1 {
		cells := topCells(sum)
		table = append(table, []cell{{"all", bold}, text(""), cells[0], text(""), cells[1], text(""), cells[2], cells[3], text("")})
	}
	return writeTable(w, style, table)
}

func topCells(r TopRow) []cell {
	cpu := cell{text: fmt.Sprintf("%.1f%%", 100*r.CPU)}
	if r.CPU > 0.9 {
		cpu.paint = yellow
	}
	return []cell{cpu, text(memoryBytes(r.Resident)), text(amount(int64(r.Read)) + "/s"), text(amount(int64(r.Written)) + "/s")}
}

// memoryBytes is in the units that memory is written in.
func memoryBytes(bytes int64) string {
	const gib = 1 << 30
	if bytes >= gib {
		return fmt.Sprintf("%.1fGiB", float64(bytes)/gib)
	}
	return strconv.FormatInt(bytes>>20, 10) + "MiB"
}

// TopJSON prints what machines use as a document.
func TopJSON(w io.Writer, rows []TopRow) error {
	type machine struct {
		TopRow
		Uptime float64 `json:"uptime_seconds,omitempty"`
	}
	all := make([]machine, len(rows))
	for i, r := range rows {
		all[i] = machine{TopRow: r, Uptime: seconds(r.Uptime)}
	}
	return writeJSON(w, struct {
		FormatVersion string    `json:"format_version"`
		Machines      []machine `json:"machines"`
	}{FormatVersion, all})
}
