package main

import (
	"bufio"
	"fmt"
	"os"
)

// memoryOfHost is the computer's RAM in MiB; 0 if it does not say.
func memoryOfHost() int {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int
		if n, _ := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}
