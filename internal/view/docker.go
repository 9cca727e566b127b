package view

import (
	"cmp"
	"fmt"
	"io"
)

// DockerPort is a published port of a container in a guest, and what became of
// it on this host.
type DockerPort struct {
	Container string `json:"container"`
	Private   int    `json:"private"` // the container's port
	Protocol  string `json:"protocol"`
	Guest     string `json:"guest"`             // ADDRESS:PORT that it is published on there
	Host      string `json:"host,omitempty"`    // ADDRESS:PORT here, where Problem is empty
	Problem   string `json:"problem,omitempty"` // why it is not here
}

// DockerPorts prints published ports as a table.
func DockerPorts(w io.Writer, style Style, all []DockerPort) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "No container has a published port.")
		return err
	}
	rows := [][]cell{headers("CONTAINER", "PORT", "IN THE GUEST", "HERE", "PROBLEM")}
	for _, p := range all {
		problem := cell{cmp.Or(Clean(p.Problem), "-"), plain}
		if p.Problem != "" {
			problem.paint = red
		}
		rows = append(rows, []cell{
			text(Clean(p.Container)), text(fmt.Sprintf("%d/%s", p.Private, Clean(p.Protocol))), text(Clean(p.Guest)), text(cmp.Or(Clean(p.Host), "-")), problem,
		})
	}
	return writeTable(w, style, rows)
}

// DockerPortsJSON prints published ports as a document.
func DockerPortsJSON(w io.Writer, all []DockerPort) error {
	return writeJSON(w, struct {
		FormatVersion string       `json:"format_version"`
		Ports         []DockerPort `json:"ports"`
	}{FormatVersion, list(all)})
}

// Sentence is about a port that is not here.
func (p DockerPort) Sentence() string {
	return fmt.Sprintf("port %s of container %s is not on this computer: %s", Clean(p.Guest), Clean(p.Container), Clean(p.Problem))
}
