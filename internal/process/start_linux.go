package process

import (
	"bytes"
	"errors"
	"os"
	"strconv"
)

// startTime is field 22 of /proc/PID/stat, in clock ticks since boot: see
// proc(5).
func startTime(pid int) (int64, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The second field is the program's name in brackets, which it chose.
	end := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[end+1:])
	if end < 0 || len(fields) < 20 {
		return 0, errors.New("/proc/PID/stat has an unknown form")
	}
	if state := fields[0][0]; state == 'Z' || state == 'X' {
		return 0, ErrGone
	}
	return strconv.ParseInt(string(fields[19]), 10, 64)
}
