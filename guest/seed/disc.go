package seed

import (
	"bytes"
	"time"

	"github.com/lkup/lkup/internal/iso9660"
)

// discLabel is by what cloud-init and LinuxKit's metadata package find the disc.
const discLabel = "cidata"

// discTime is the time of all files of all discs.
var discTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// File is a file of a disc.
type File struct {
	Name    string
	Content string
}

// Disc is a file system for a small disk that a guest reads its settings from.
// The same files give the same bytes. They must fit into one folder of 2 KiB.
func Disc(files []File) ([]byte, error) {
	d := iso9660.Disc{Label: discLabel, Time: discTime, LongNames: true}
	for _, f := range files {
		d.Files = append(d.Files, iso9660.Text(f.Name, f.Content))
	}
	if err := d.Place(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err := d.Write(&b, nil)
	return b.Bytes(), err
}
