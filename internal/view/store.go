package view

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// StoreEntry is one thing in the image store.
type StoreEntry struct {
	Digest string    `json:"digest"`
	Kind   string    `json:"kind"`
	Names  []string  `json:"names"`
	Arch   string    `json:"arch,omitempty"`
	Size   int64     `json:"size"`     // bytes, with all that it needs
	Own    int64     `json:"own_size"` // bytes, of itself
	Used   time.Time `json:"used"`
	// Users are the stacks that would miss it.
	Users []StoreUser `json:"users"`
}

// StoreUser is a stack that uses an image.
type StoreUser struct {
	Stack       string   `json:"stack"`
	ID          string   `json:"id"`
	Machines    []string `json:"machines"`    // that are there now
	Generations []int    `json:"generations"` // that it could go back to
}

// Text says what of the stack it is: "shop: vm.web, generations 1 and 2".
func (u StoreUser) Text() string {
	words := append([]string{}, u.Machines...)
	if n := len(u.Generations); n > 0 {
		numbers := make([]string, n)
		for i, g := range u.Generations {
			numbers[i] = fmt.Sprint(g)
		}
		noun := "generation "
		if n > 1 {
			noun = "generations "
		}
		words = append(words, noun+List(numbers))
	}
	return u.Stack + ": " + strings.Join(words, ", ")
}

// StoreTotals sum up the store.
type StoreTotals struct {
	Dir     string `json:"dir"`
	Entries int    `json:"entries"`
	Size    int64  `json:"size"` // bytes
}

// StoreText lists entries as a table.
func StoreText(w io.Writer, style Style, now time.Time, entries []StoreEntry, totals StoreTotals) error {
	rows := [][]cell{headers("DIGEST", "KIND", "SIZE", "USED", "NAME", "NEEDED BY")}
	for _, e := range entries {
		rows = append(rows, []cell{
			{text: shortDigest(e.Digest), paint: bold}, text(e.Kind), text(byteSize(e.Size)), text(ago(now, e.Used)),
			text(Clean(names(e.Names))), usersCell(e.Users),
		})
	}
	if err := writeTable(w, style, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s in %s, %s on the disk\n", Count(totals.Entries, "part"), totals.Dir, byteSize(totals.Size))
	return err
}

// PulledText lists entries that were just brought here.
func PulledText(w io.Writer, style Style, entries []StoreEntry) error {
	rows := [][]cell{headers("DIGEST", "KIND", "SIZE", "NAME")}
	for _, e := range entries {
		rows = append(rows, []cell{{text: shortDigest(e.Digest), paint: bold}, text(e.Kind), text(byteSize(e.Size)), text(Clean(names(e.Names)))})
	}
	return writeTable(w, style, rows)
}

func usersCell(users []StoreUser) cell {
	if len(users) == 0 {
		return cell{"-", dim}
	}
	var all []string
	for _, u := range users {
		all = append(all, u.Text())
	}
	return text(Clean(strings.Join(all, "; ")))
}

func names(all []string) string {
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ", ")
}

func shortDigest(d string) string {
	hex := strings.TrimPrefix(d, "sha256:")
	return hex[:min(12, len(hex))]
}

// ago is an age in its largest unit.
func ago(now, then time.Time) string {
	switch age := now.Sub(then); {
	case age < time.Minute:
		return "now"
	case age < time.Hour:
		return fmt.Sprintf("%dm ago", int(age.Minutes()))
	case age < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(age.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(age.Hours()/24))
	}
}

// StoreJSON prints entries as a document.
func StoreJSON(w io.Writer, entries []StoreEntry, totals StoreTotals) error {
	return writeJSON(w, struct {
		FormatVersion string       `json:"format_version"`
		Store         StoreTotals  `json:"store"`
		Entries       []StoreEntry `json:"entries"`
	}{FormatVersion, totals, filled(entries)})
}

// filled has empty lists where there are none.
func filled(entries []StoreEntry) []StoreEntry {
	all := make([]StoreEntry, len(entries))
	for i, e := range entries {
		e.Names, e.Users = list(e.Names), list(e.Users)
		for n, u := range e.Users {
			e.Users[n].Machines, e.Users[n].Generations = list(u.Machines), list(u.Generations)
		}
		all[i] = e
	}
	return all
}

// StorePart is a part of an entry, with its own.
type StorePart struct {
	Digest string      `json:"digest"`
	Kind   string      `json:"kind"`
	Names  []string    `json:"names"`
	Own    int64       `json:"own_size"`
	Parts  []StorePart `json:"parts"`
}

// StoreDetails is all that is known of an entry.
type StoreDetails struct {
	StoreEntry
	Inputs  map[string]string          `json:"inputs"` // what it was made from: digests by refs
	Parts   []StorePart                `json:"parts"`
	Config  json.RawMessage            `json:"config,omitempty"` // of a component, as OCI has it
	Records map[string]json.RawMessage `json:"records"`
}

// StoreDetailsText prints an entry with its parts as a tree.
func StoreDetailsText(w io.Writer, style Style, now time.Time, d StoreDetails) error {
	var b strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s %s\n", style.paint(bold, pad(name, 8)), Clean(value))
		}
	}
	field("digest", d.Digest)
	field("kind", d.Kind)
	field("names", strings.Join(d.Names, ", "))
	field("arch", d.Arch)
	field("size", fmt.Sprintf("%s, %s of its own", byteSize(d.Size), byteSize(d.Own)))
	field("used", ago(now, d.Used))
	for _, u := range d.Users {
		field("needed", u.Text())
	}
	for _, name := range sortedNames(d.Inputs) {
		field("from", name+"  "+shortDigest(d.Inputs[name]))
	}
	for _, line := range configLines(d.Config) {
		field("config", line)
	}
	for _, p := range d.Parts {
		writePart(&b, p, "parts    ")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writePart(b *strings.Builder, p StorePart, indent string) {
	line := fmt.Sprintf("%s%s  %s  %s", indent, shortDigest(p.Digest), pad(p.Kind, 9), byteSize(p.Own))
	if len(p.Names) > 0 {
		line += "  " + Clean(names(p.Names))
	}
	fmt.Fprintln(b, line)
	for _, inner := range p.Parts {
		writePart(b, inner, strings.Repeat(" ", len(indent))+"  ")
	}
}

// configLines is what of a configuration matters to a person.
func configLines(raw json.RawMessage) []string {
	var file struct {
		Config map[string]any `json:"config"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &file) != nil {
		return nil
	}
	var lines []string
	for _, name := range sortedNames(file.Config) {
		value, err := json.Marshal(file.Config[name])
		if err != nil {
			continue
		}
		lines = append(lines, name+" "+string(value))
	}
	return lines
}

// StoreDetailsJSON prints the same for programs.
func StoreDetailsJSON(w io.Writer, d StoreDetails) error {
	d.StoreEntry = filled([]StoreEntry{d.StoreEntry})[0]
	d.Parts = list(d.Parts)
	return writeJSON(w, struct {
		FormatVersion string `json:"format_version"`
		StoreDetails
	}{FormatVersion, d})
}

// StoreDamage is something in the store that is not as it was put there.
type StoreDamage struct {
	Digest string   `json:"digest"`
	Kind   string   `json:"kind"`
	Names  []string `json:"names"`
	Path   string   `json:"path"`
	What   string   `json:"what"`
}

// StoreVerified is what a look at everything found.
type StoreVerified struct {
	Checked int `json:"checked"`
	// Unknown are entries that nothing is recorded of to compare them with.
	Unknown  int           `json:"unknown"`
	Damaged  []StoreDamage `json:"damaged"`
	Repaired bool          `json:"repaired"` // the damaged ones were removed
}

// StoreVerifiedText tells what was found.
func StoreVerifiedText(w io.Writer, style Style, v StoreVerified) error {
	var b strings.Builder
	for _, d := range v.Damaged {
		fmt.Fprintf(&b, "%s %s %s: %s %s\n", style.paint(red, "damaged"), d.Kind, Clean(nameOr(d.Names, shortDigest(d.Digest))), Clean(d.Path), Clean(d.What))
	}
	fmt.Fprintf(&b, "%s checked, %d damaged", Count(v.Checked, "part"), len(v.Damaged))
	if v.Unknown > 0 {
		fmt.Fprintf(&b, "; %d cannot be checked, because an older lkup made them", v.Unknown)
	}
	b.WriteString("\n")
	if v.Repaired && len(v.Damaged) > 0 {
		b.WriteString("What is damaged was removed. It is fetched or built again when it is needed.\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func nameOr(all []string, otherwise string) string {
	if len(all) == 0 {
		return otherwise
	}
	return all[len(all)-1]
}

// StoreVerifiedJSON prints the same for programs.
func StoreVerifiedJSON(w io.Writer, v StoreVerified) error {
	v.Damaged = list(v.Damaged)
	for i, d := range v.Damaged {
		v.Damaged[i].Names = list(d.Names)
	}
	return writeJSON(w, struct {
		FormatVersion string `json:"format_version"`
		StoreVerified
	}{FormatVersion, v})
}

// StoreRemoved is what was, or would be, removed.
type StoreRemoved struct {
	DryRun  bool         `json:"dry_run"`
	Freed   int64        `json:"freed"` // bytes
	Removed []StoreEntry `json:"removed"`
}

// StoreRemovedText names what people name, and counts the rest.
func StoreRemovedText(w io.Writer, style Style, now time.Time, r StoreRemoved) error {
	var named []StoreEntry
	for _, e := range r.Removed {
		if len(e.Names) > 0 {
			named = append(named, e)
		}
	}
	if len(named) > 0 {
		rows := [][]cell{headers("DIGEST", "KIND", "SIZE", "USED", "NAME")}
		for _, e := range named {
			rows = append(rows, []cell{text(shortDigest(e.Digest)), text(e.Kind), text(byteSize(e.Size)), text(ago(now, e.Used)), text(Clean(names(e.Names)))})
		}
		if err := writeTable(w, style, rows); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
	}
	verb := "Removed"
	if r.DryRun {
		verb = "Would remove"
	}
	_, err := fmt.Fprintf(w, "%s %s, %s.\n", verb, Count(len(r.Removed), "part"), byteSize(r.Freed))
	return err
}

// StoreRemovedJSON prints the same for programs.
func StoreRemovedJSON(w io.Writer, r StoreRemoved) error {
	r.Removed = filled(r.Removed)
	return writeJSON(w, struct {
		FormatVersion string `json:"format_version"`
		StoreRemoved
	}{FormatVersion, r})
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
