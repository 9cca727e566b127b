package volume

import (
	"io/fs"
	"syscall"
)

// Used is what a file takes of the disk, in bytes.
func Used(info fs.FileInfo) int64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return stat.Blocks * 512
	}
	return info.Size()
}
