package view

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/lkup/lkup/planner"
	"github.com/lkup/lkup/spec"
)

// Network is a network of a stack, as its machines were given it.
type Network struct {
	Address    spec.Address `json:"address"`
	Name       string       `json:"name"`
	Subnet     string       `json:"subnet"`
	Egress     []string     `json:"egress"`
	DNS        []string     `json:"dns,omitempty"`
	HostAccess bool         `json:"host_access"`
	Running    bool         `json:"switch_running"` // only of one that was looked at
	Machines   []Connected  `json:"machines"`
	Denied     []Denial     `json:"denied"` // newest first
}

// Connected is a machine in a network. The numbers are frames, since the switch
// was started.
type Connected struct {
	VM       spec.Address `json:"vm"`
	Name     string       `json:"name"`
	Aliases  []string     `json:"aliases,omitempty"`
	Address  string       `json:"address"`
	Address6 string       `json:"address6,omitempty"`
	Plugged  bool         `json:"plugged"`
	Received int64        `json:"received"`
	Sent     int64        `json:"sent"`
	Dropped  int64        `json:"dropped"`
}

// Denial is something that a machine was refused.
type Denial struct {
	VM       spec.Address `json:"vm"`
	Protocol string       `json:"protocol"` // tcp, udp, icmp, or dns for a name
	To       string       `json:"to"`
	Count    int          `json:"count"`
	Last     time.Time    `json:"last"`
}

// NetworksText prints a stack's networks as a table.
func NetworksText(w io.Writer, style Style, all []Network) error {
	table := [][]cell{headers("NAME", "ADDRESS", "SUBNET", "EGRESS", "HOST", "MACHINES")}
	for _, n := range all {
		names := make([]string, len(n.Machines))
		for i, m := range n.Machines {
			names[i] = m.Name
		}
		table = append(table, []cell{
			text(n.Name), text(string(n.Address)), text(n.Subnet), text(shortened(planner.EgressText(n.Egress), 40)), text(yesNo(n.HostAccess)), text(strings.Join(names, ", ")),
		})
	}
	return writeTable(w, style, table)
}

func yesNo(flag bool) string {
	if flag {
		return "yes"
	}
	return "no"
}

// NetworksJSON prints a stack's networks for programs.
func NetworksJSON(w io.Writer, all []Network) error {
	return writeJSON(w, struct {
		FormatVersion string    `json:"format_version"`
		Networks      []Network `json:"networks"`
	}{FormatVersion, list(all)})
}

// NetworkJSON prints one network for programs.
func NetworkJSON(w io.Writer, n Network) error {
	n.Machines, n.Denied, n.Egress = list(n.Machines), list(n.Denied), list(n.Egress)
	return writeJSON(w, struct {
		FormatVersion string `json:"format_version"`
		Network
	}{FormatVersion, n})
}

// NetworkText prints who is in a network, and what was refused there.
func NetworkText(w io.Writer, style Style, n Network, now time.Time) error {
	resolvers := "the host's"
	if len(n.DNS) > 0 {
		resolvers = strings.Join(n.DNS, " ")
	}
	running := "running"
	if !n.Running {
		running = style.paint(yellow, "not running; lkup ps starts it")
	}
	fmt.Fprintf(w, "%s\n  subnet       %s\n  egress       %s\n  resolvers    %s\n  host access  %s\n  switch       %s\n\n",
		style.paint(bold, Clean(string(n.Address))), n.Subnet, planner.EgressText(n.Egress), resolvers, yesNo(n.HostAccess), running)
	table := [][]cell{headers("MACHINE", "NAMES", "ADDRESS", "IPV6", "RECEIVED", "SENT", "DROPPED")}
	for _, m := range n.Machines {
		row := []cell{text(string(m.VM)), text(strings.Join(append([]string{m.Name}, m.Aliases...), ", ")), text(m.Address), text(m.Address6)}
		if !m.Plugged {
			table = append(table, append(row, text("-"), text("-"), text("-")))
			continue
		}
		for _, count := range []int64{m.Received, m.Sent, m.Dropped} {
			row = append(row, text(strconv.FormatInt(count, 10)))
		}
		table = append(table, row)
	}
	if err := writeTable(w, style, table); err != nil || len(n.Denied) == 0 {
		return err
	}
	fmt.Fprintln(w)
	table = [][]cell{headers("REFUSED", "PROTOCOL", "TO", "TIMES", "LAST")}
	for _, d := range n.Denied {
		table = append(table, []cell{
			text(string(d.VM)), text(d.Protocol), text(Clean(d.To)), text(strconv.Itoa(d.Count)), text(uptime(max(now.Sub(d.Last), time.Second)) + " ago"),
		})
	}
	return writeTable(w, style, table)
}
