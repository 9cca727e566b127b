package main

import (
	"os"
	"strings"
	"testing"
)

// TestAProgramThatShedsWhatItBeganWithRunsOn compares what the kernel says is
// resident of files before and after.
func TestAProgramThatShedsWhatItBeganWithRunsOn(t *testing.T) {
	before := residentFiles(t)
	shed, err := shedProgram()
	if err != nil || shed == 0 {
		t.Fatalf("%d bytes, %v", shed, err)
	}
	if after := residentFiles(t); after > before*3/4 {
		t.Errorf("%d KiB of files were resident, and still %d", before, after)
	}
	if strings.ToUpper("ſpec") != "SPEC" { // by a table that comes back
		t.Error("the program's own data is not what it was")
	}
}

func TestWhatCannotComeBackIsNotShed(t *testing.T) {
	for name, m := range map[string]mapping{
		"no file":     {access: "r--p"},
		"written":     {access: "r--p", inode: 1, anonymous: 4},
		"not told":    {access: "r--p", inode: 1, anonymous: -1},
		"writable":    {access: "rw-p", inode: 1},
		"shared":      {access: "r--s", inode: 1},
		"no access":   {access: "---p", inode: 1},
		"unreadable?": {access: "", inode: 1},
	} {
		if m.pristine() {
			t.Errorf("%s: %+v would be shed", name, m)
		}
	}
	if !(mapping{access: "r-xp", inode: 1}).pristine() {
		t.Error("code is not shed")
	}
}

// residentFiles is RssFile of proc_pid_status(5), in KiB.
func residentFiles(t *testing.T) int {
	t.Helper()
	content, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "RssFile:" {
			kib := 0
			for _, c := range fields[1] {
				kib = kib*10 + int(c-'0')
			}
			return kib
		}
	}
	t.Fatal("/proc/self/status has no RssFile")
	return 0
}
