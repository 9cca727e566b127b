package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// process is a running process, as /proc shows it.
type process struct {
	pid      int
	argv     []string
	cwd, exe string
	resident int64 // bytes
}

// processes lists those of this host that may be looked at. Linux only.
func processes() ([]process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var found []process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || len(cmdline) == 0 {
			continue // it is gone, or a kernel thread
		}
		p := process{pid: pid, argv: strings.Split(string(bytes.TrimSuffix(cmdline, []byte{0})), "\x00")}
		p.cwd, _ = os.Readlink(filepath.Join(dir, "cwd"))
		p.exe, _ = os.Readlink(filepath.Join(dir, "exe"))
		p.resident = resident(filepath.Join(dir, "statm"))
		found = append(found, p)
	}
	return found, nil
}

// resident reads the second field of statm, which counts pages.
func resident(statm string) int64 {
	content, err := os.ReadFile(statm)
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(content))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// machineOf finds the one hypervisor process whose command line names dir.
func machineOf(dir string) (process, error) {
	all, err := processes()
	if err != nil {
		return process{}, err
	}
	for _, p := range all {
		if strings.Contains(filepath.Base(p.argv[0]), "qemu-system") && strings.Contains(strings.Join(p.argv, " "), dir) {
			return p, nil
		}
	}
	return process{}, fmt.Errorf("no QEMU runs with %s in its command line", dir)
}

// modified is when a file was written; the beginning of time if it is gone.
func modified(path string) time.Time {
	info, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}
