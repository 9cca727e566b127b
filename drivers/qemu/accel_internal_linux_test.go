package qemu

import "testing"

func TestFlagsSayWhetherAProcessorVirtualises(t *testing.T) {
	for name, test := range map[string]struct {
		cpuinfo string
		want    bool
	}{
		"intel":           {"processor\t: 0\nflags\t\t: fpu vmx sse\nbugs\t: x\n", true},
		"amd":             {"flags\t\t: fpu svm\n", true},
		"neither":         {"flags\t\t: fpu sse\nvmx flags\t: vnmi\n", false},
		"part of a word":  {"flags\t\t: svm_lock vmxoff\n", false},
		"not in flags":    {"model name\t: vmx svm\n", false},
		"nothing at all":  {"", false},
		"only the second": {"flags\t: fpu\nflags\t: vmx\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := virtualises(test.cpuinfo); got != test.want {
				t.Errorf("%t, want %t", got, test.want)
			}
		})
	}
}
