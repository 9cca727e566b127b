package view

import (
	"cmp"
	"fmt"
	"io"
	"time"
)

// AgentRow is one request of an agent, as package agent logged it.
type AgentRow struct {
	Time     time.Time `json:"time"`
	Kind     string    `json:"kind"`
	Method   string    `json:"method,omitempty"`
	Host     string    `json:"host"`
	Port     int       `json:"port"`
	Path     string    `json:"path,omitempty"`
	Status   int       `json:"status,omitempty"`
	Sent     int64     `json:"sent_bytes"`
	Received int64     `json:"received_bytes"`
	Verdict  string    `json:"verdict"`
	Why      string    `json:"why,omitempty"`
}

// AgentLogText prints requests as a table, the oldest first.
func AgentLogText(w io.Writer, style Style, rows []AgentRow) error {
	table := [][]cell{headers("TIME", "VERDICT", "KIND", "TO", "SENT", "RECEIVED", "WHY")}
	for _, r := range rows {
		verdict := cell{r.Verdict, green}
		if r.Verdict != "allowed" {
			verdict.paint = red
		}
		to := Clean(r.Host)
		if r.Port != 0 {
			to = fmt.Sprintf("%s:%d", to, r.Port)
		}
		table = append(table, []cell{
			text(r.Time.Local().Format(time.DateTime)), verdict, text(Clean(r.Kind)), text(to + Clean(r.Path)),
			text(fmt.Sprint(r.Sent)), text(fmt.Sprint(r.Received)), text(cmp.Or(Clean(r.Why), "-")),
		})
	}
	return writeTable(w, style, table)
}

// AgentLogJSON prints requests as a document.
func AgentLogJSON(w io.Writer, rows []AgentRow) error {
	if rows == nil {
		rows = []AgentRow{}
	}
	return writeJSON(w, struct {
		FormatVersion string     `json:"format_version"`
		Requests      []AgentRow `json:"requests"`
	}{FormatVersion, rows})
}
