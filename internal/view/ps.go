package view

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// PsRow is one machine of a stack.
type PsRow struct {
	Address spec.Address  `json:"address"`
	Name    string        `json:"name"`
	ID      string        `json:"id"`
	Status  drivers.State `json:"status"`
	Detail  string        `json:"detail,omitempty"`
	Ready   bool          `json:"ready"`
	Driver  string        `json:"driver"`
	Ports   []spec.Port   `json:"ports,omitempty"`
	CPUs    int           `json:"cpus"`
	Memory  int           `json:"memory_mib"`
	SSHPort int           `json:"ssh_port,omitempty"`
	PID     int           `json:"pid,omitempty"`
	Kind    string        `json:"kind,omitempty"`        // "task", or empty
	Exit    *int          `json:"exit_status,omitempty"` // of a task that has ended
	Health  string        `json:"health,omitempty"`      // starting, healthy or unhealthy
	Uptime  time.Duration `json:"-"`                     // 0 unless it runs
}

// PsText prints the machines as a table.
func PsText(w io.Writer, style Style, rows []PsRow) error {
	table := [][]cell{headers("NAME", "ADDRESS", "ID", "STATUS", "READY", "PORTS", "CPUS", "MEMORY", "UPTIME")}
	for _, r := range rows {
		table = append(table, []cell{
			text(r.Name), text(string(r.Address)), text(r.ID),
			statusCell(r), readyCell(r), text(portList(r.Ports)),
			text(strconv.Itoa(r.CPUs)), text(memory(r.Memory)), text(uptime(r.Uptime)),
		})
	}
	return writeTable(w, style, table)
}

// PsJSON prints the machines as a document.
func PsJSON(w io.Writer, rows []PsRow) error {
	type machine struct {
		PsRow
		Uptime float64 `json:"uptime_seconds,omitempty"`
	}
	all := make([]machine, len(rows))
	for i, r := range rows {
		all[i] = machine{PsRow: r, Uptime: seconds(r.Uptime)}
	}
	return writeJSON(w, struct {
		FormatVersion string    `json:"format_version"`
		Machines      []machine `json:"machines"`
	}{FormatVersion, all})
}

func headers(names ...string) []cell {
	row := make([]cell, len(names))
	for i, n := range names {
		row[i] = text(n)
	}
	return row
}

func statusCell(r PsRow) cell {
	if r.Kind == spec.KindTask && r.Status == drivers.Stopped && r.Exit != nil {
		if *r.Exit == 0 {
			return cell{"completed", green}
		}
		return cell{fmt.Sprintf("failed (exit status %d)", *r.Exit), red}
	}
	switch r.Status {
	case drivers.Running:
		switch r.Health {
		case "":
			return cell{"running", green}
		case "healthy":
			return cell{"running (healthy)", green}
		case "unhealthy":
			return cell{"running (unhealthy)", red}
		}
		return cell{"running (" + r.Health + ")", yellow}
	case drivers.Unknown, drivers.Absent:
		return cell{withDetail(r), red}
	case drivers.Stopped, drivers.Paused:
		return cell{withDetail(r), yellow}
	default:
		return text(string(r.Status))
	}
}

// withDetail is the state, and in brackets what the driver has to say of it.
func withDetail(r PsRow) string {
	if r.Detail == "" {
		return string(r.Status)
	}
	detail, _, _ := strings.Cut(Clean(r.Detail), "\n")
	return fmt.Sprintf("%s (%s)", r.Status, shortened(detail, 40))
}

func readyCell(r PsRow) cell {
	switch {
	case r.Status != drivers.Running:
		return text("-")
	case r.Ready:
		return cell{"yes", green}
	}
	return cell{"no", yellow}
}

// portList is as Docker shows ports: 127.0.0.1:8080->80/tcp.
func portList(ports []spec.Port) string {
	if len(ports) == 0 {
		return "-"
	}
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = forward(p)
	}
	return strings.Join(words, ", ")
}

func forward(p spec.Port) string {
	address, host := p.Address, strconv.Itoa(p.Host)
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	if p.Host == 0 {
		host = "auto"
	}
	return fmt.Sprintf("%s:%s->%d/%s", address, host, p.Guest, p.Protocol)
}

func memory(mib int) string {
	if mib > 0 && mib%1024 == 0 {
		return strconv.Itoa(mib/1024) + "GiB"
	}
	return strconv.Itoa(mib) + "MiB"
}

// uptime is a duration in its two largest units.
func uptime(d time.Duration) string {
	d = d.Truncate(time.Second)
	days, hours := d/(24*time.Hour), d/time.Hour%24
	minutes, secs := d/time.Minute%60, d/time.Second%60
	switch {
	case d <= 0:
		return "-"
	case days > 0:
		return fmt.Sprintf("%dd%dh", days, hours)
	case hours > 0:
		return fmt.Sprintf("%dh%dm", hours, minutes)
	case minutes > 0:
		return fmt.Sprintf("%dm%ds", minutes, secs)
	}
	return fmt.Sprintf("%ds", secs)
}

// shortened cuts a text off at a number of columns.
func shortened(s string, width int) string {
	if columns(s) <= width {
		return s
	}
	var b strings.Builder
	used := 0
	for _, r := range s {
		if used += columns(string(r)); used > width-1 {
			break
		}
		b.WriteRune(r)
	}
	return b.String() + "…"
}

// seconds with three decimals, for JSON.
func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond)) / float64(time.Second)
}
