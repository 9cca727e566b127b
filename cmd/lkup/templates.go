package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/lkup/lkup/spec"
)

// userTemplates is the folder of the user's own templates; files is nil if
// there is none. Paths in it do not escape it.
type userTemplates struct {
	dir   string
	files fs.FS
}

func openUserTemplates(host Host) userTemplates {
	dir := filepath.Join(host.Layout().Config, spec.TemplateDir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return userTemplates{dir: dir} // most users have none
	}
	return userTemplates{dir: dir, files: root.FS()}
}

// names lists the user's own templates, sorted.
func (u userTemplates) names() []string {
	if u.files == nil {
		return nil
	}
	return spec.TemplatesIn(u.files, ".")
}

// missingApt is the first of apt's programs that is not installed: apt: and
// builtin: components come from the host's archive.
func missingApt() (program string, missing bool) {
	for _, name := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(name); err != nil {
			return name, true
		}
	}
	return "", false
}
