package view

import (
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/lkup/lkup/sources"
)

// ImageFile is a file that an image was written to.
type ImageFile struct {
	Format string `json:"format"`
	Path   string `json:"path"`
	Size   int64  `json:"size"` // bytes
}

// ImageFiles lists what was written.
func ImageFiles(w io.Writer, style Style, files []ImageFile) error {
	rows := [][]cell{{text("FORMAT"), text("SIZE"), text("FILE")}}
	for _, f := range files {
		rows = append(rows, []cell{text(f.Format), text(byteSize(f.Size)), text(f.Path)})
	}
	return writeTable(w, style, rows)
}

// ImageFilesJSON prints the same for programs, with the image's digest.
func ImageFilesJSON(w io.Writer, digest string, files []ImageFile) error {
	return writeJSON(w, struct {
		FormatVersion string      `json:"format_version"`
		Digest        string      `json:"digest"`
		Files         []ImageFile `json:"files"`
	}{FormatVersion, digest, list(files)})
}

// byteSize is a size for people, with at most one decimal.
func byteSize(n int64) string {
	value, unit := float64(n), 0
	for ; value >= 1024 && unit < 3; unit++ {
		value /= 1024
	}
	decimals := 0
	if unit > 0 && value < 10 {
		decimals = 1
	}
	return strconv.FormatFloat(value, 'f', decimals, 64) + []string{"B", "KiB", "MiB", "GiB"}[unit]
}

// Steps shows a fetch or a build to a person: a line for each thing that is
// begun.
func Steps(w io.Writer, style Style) sources.Report {
	var mu sync.Mutex // guards told and w
	told := map[string]bool{}
	return func(p sources.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if told[p.What] {
			return
		}
		told[p.What] = true
		_, _ = fmt.Fprintln(w, style.paint(dim, Clean(p.What)))
	}
}
