package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// shedProgram lets go of the pages of the program's own file that its start
// needed: most of them - grammars, tables, the code that makes them - a process
// that stays for one thing never touches again. What it does touch comes back
// from the system's cache. It gives how many bytes of address space it let go of.
func shedProgram() (int, error) {
	all, err := readMappings()
	if err != nil {
		return 0, err
	}
	shed := 0
	for _, m := range all {
		if !m.pristine() {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED); errno != 0 {
			return shed, os.NewSyscallError("madvise", errno)
		}
		shed += int(m.end - m.start)
	}
	return shed, nil
}

// mapping is a part of this process's memory, as /proc/self/smaps has it: see
// proc_pid_smaps(5).
type mapping struct {
	start, end uintptr
	access     string // "r-xp"
	inode      uint64 // 0 unless it is of a file
	anonymous  int    // KiB that are no longer as in the file
}

// pristine reports whether it is a file's content, and cannot have become
// anything else: what is let go of comes back the same.
func (m mapping) pristine() bool {
	return m.inode != 0 && m.anonymous == 0 && (m.access == "r-xp" || m.access == "r--p")
}

func readMappings() ([]mapping, error) {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []mapping
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var m mapping
		var offset, major, minor uint64
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s %x %x:%x %d", &m.start, &m.end, &m.access, &offset, &major, &minor, &m.inode); err == nil {
			m.anonymous = -1 // not told yet
			all = append(all, m)
			continue
		}
		if text, found := strings.CutPrefix(lines.Text(), "Anonymous:"); found && len(all) > 0 {
			if _, err := fmt.Sscanf(text, "%d kB", &all[len(all)-1].anonymous); err != nil {
				return nil, fmt.Errorf("read /proc/self/smaps: %w", err)
			}
		}
	}
	return all, lines.Err()
}
