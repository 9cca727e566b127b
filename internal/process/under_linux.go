package process

import (
	"bytes"
	"errors"
	"os"
	"syscall"
)

// EndUnder tells all processes to end that were started with this entry,
// NAME=VALUE, in their environment, and gives their number; the caller is not
// among them. Those of other users cannot be looked at.
func EndUnder(entry string) (int, error) {
	pids, err := all()
	if err != nil {
		return 0, err
	}
	ended := 0
	for _, pid := range pids {
		if pid == os.Getpid() {
			continue
		}
		// Held before it is looked at, so that nobody else has its number by then.
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if environ, err := read(pid, "environ"); err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+entry+"\x00")) {
			if err := p.Signal(syscall.SIGTERM); err == nil {
				ended++
			} else if !errors.Is(err, os.ErrProcessDone) {
				return ended, err
			}
		}
		_ = p.Release()
	}
	return ended, nil
}
