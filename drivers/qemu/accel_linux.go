package qemu

import (
	"os"
	"strings"
)

func (f *facts) look() {
	f.kvm = openable("/dev/kvm")
	if f.arch != amd64 {
		return
	}
	content, err := os.ReadFile("/proc/cpuinfo")
	f.vmx = err == nil && virtualises(string(content))
}

// openable says why a device cannot be opened for reading and writing.
func openable(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// virtualises reports whether the first processor of a /proc/cpuinfo does.
func virtualises(cpuinfo string) bool {
	for line := range strings.Lines(cpuinfo) {
		name, flags, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) != "flags" {
			continue
		}
		for _, flag := range strings.Fields(flags) {
			if flag == "vmx" || flag == "svm" {
				return true
			}
		}
		return false
	}
	return false
}
