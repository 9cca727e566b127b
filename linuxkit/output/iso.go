package output

import (
	"io"
	"os"
	"time"

	"github.com/lkup/lkup/internal/iso9660"
)

// disc places files on a CD. The firmware starts the first of them.
func disc(boot iso9660.Boot, files ...iso9660.File) (*iso9660.Disc, error) {
	d := &iso9660.Disc{Label: "LKUP", Time: time.Unix(fixedTime, 0), Boot: &boot, Files: files}
	return d, d.Place()
}

// fileAt is a file for a CD, of what lies at a path.
func fileAt(name, path string) (iso9660.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return iso9660.File{}, err
	}
	return iso9660.File{Name: name, Size: info.Size(), Write: func(w io.Writer) error { return join(w, []string{path}) }}, nil
}
