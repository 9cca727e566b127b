package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lkup/lkup/spec"
)

type initCmd struct {
	Dir string `arg:"" optional:"" default:"." help:"The project's directory; made if it is not there."`
}

// starter applies as it is, on a computer that reaches no registry.
const starter = `# A stack is the virtual machines of one directory. Try:
#
#   lkup plan        what apply would do, and why
#   lkup apply       start the machines and wait until they are ready
#   lkup ssh hello   a shell inside
#   lkup down        take them away again

stack %q {}

template "minimal" {
  builtin = "minimal"
}

vm "hello" {
  image  = template.minimal
  memory = "256MiB"

  # port {
  #   guest = 80
  #   host  = "auto" # or a number; on 127.0.0.1 unless "address" says otherwise
  # }
  #
  # share {
  #   host  = "."
  #   guest = "/project"
  # }

  ready {
    ssh = true
  }
}
`

func (c *initCmd) Run(call *call) error {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("make the project's directory: %w", err)
	}
	path := filepath.Join(dir, "lkup.hcl")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is already there; edit it, or name another directory: lkup init DIR", path)
	}
	if err != nil {
		return fmt.Errorf("write the starter stack: %w", err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, starter, spec.StackName(filepath.Base(dir))); err != nil {
		return fmt.Errorf("write the starter stack: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write the starter stack: %w", err)
	}
	where := ""
	if c.Dir != "." {
		where = " -C " + c.Dir
	}
	fmt.Fprintf(call.Out, "Wrote %s. Now type: lkup apply%s\n", path, where)
	return nil
}
