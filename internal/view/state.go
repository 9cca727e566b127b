package view

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"time"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// StateRow is what the state knows of a machine or a volume.
type StateRow struct {
	ID        string         `json:"id"`
	Driver    string         `json:"driver,omitempty"`
	Digest    sources.Digest `json:"digest,omitempty"`
	Format    string         `json:"format,omitempty"`
	AppliedAt time.Time      `json:"applied_at"` // of a volume: when it was made
	Dir       string         `json:"dir"`
	VM        *spec.VM       `json:"vm,omitempty"`
	Volume    spec.Address   `json:"volume,omitempty"`
}

// State prints what the state knows, without what is sensitive.
func State(w io.Writer, style Style, r StateRow, asJSON bool) error {
	address := r.Volume
	if r.VM != nil {
		r.VM, address = redacted(r.VM, r.VM.Sensitive), r.VM.Address
	}
	if asJSON {
		return writeJSON(w, struct {
			FormatVersion string `json:"format_version"`
			StateRow
		}{FormatVersion, r})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", style.paint(bold, string(address)))
	flat := map[string]string{"id": r.ID, "driver": r.Driver, "digest": string(r.Digest), "format": r.Format, "directory": r.Dir, "applied at": r.AppliedAt.Format(time.RFC3339)}
	if r.VM != nil {
		if err := flatten(r.VM, flat); err != nil {
			return err
		}
	}
	names := make([]string, 0, len(flat))
	width := 0
	for name, value := range flat {
		if value != "" {
			names = append(names, name)
			width = max(width, columns(name))
		}
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(&b, "  %s  %s\n", pad(name, width), oneLine(flat[name]))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// flatten adds the attributes of a VM by name.
func flatten(vm *spec.VM, flat map[string]string) error {
	content, err := json.Marshal(vm)
	if err != nil {
		return err
	}
	var attributes map[string]any
	if err := json.Unmarshal(content, &attributes); err != nil {
		return err
	}
	for name, value := range attributes {
		switch name {
		case "memory":
			flat[name] = memory(vm.Memory)
		case "address", "ready", "secrets":
		default:
			flat[name] = valueText(value)
		}
	}
	for name := range vm.Secrets {
		flat["env "+name] = hidden
	}
	return nil
}

// AddressesJSON prints addresses as a document.
func AddressesJSON(w io.Writer, all []spec.Address) error {
	return writeJSON(w, struct {
		FormatVersion string         `json:"format_version"`
		Addresses     []spec.Address `json:"addresses"`
	}{FormatVersion, list(all)})
}
