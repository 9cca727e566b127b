package view

import (
	"io"
	"maps"
	"time"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// Machine is all that lkup knows of one machine.
type Machine struct {
	Address   spec.Address   `json:"address"`
	Name      string         `json:"name"`
	ID        string         `json:"id"`
	Stack     string         `json:"stack"`
	Project   string         `json:"project"`
	Status    drivers.State  `json:"status"`
	Detail    string         `json:"detail,omitempty"`
	Ready     bool           `json:"ready"`
	Exit      *int           `json:"exit_status,omitempty"` // of a task that has ended
	PID       int            `json:"pid,omitempty"`
	Started   time.Time      `json:"started_at,omitzero"`
	Driver    string         `json:"driver"`
	Arch      string         `json:"arch"`
	MAC       string         `json:"mac"`
	Source    string         `json:"image_source,omitempty"` // where its image is from
	Digest    sources.Digest `json:"image_digest"`
	Guest     bool           `json:"lkup_init"` // lkup's init runs in it
	SSHPort   int            `json:"ssh_port,omitempty"`
	Held      []HeldPort     `json:"ports_held,omitempty"` // of this computer, now
	Memory    int            `json:"memory_now_mib,omitempty"`
	MemoryMax int            `json:"memory_max_mib,omitempty"`
	Volumes   map[string]int `json:"volumes_now_mib,omitempty"`
	Dir       string         `json:"dir"`
	Console   string         `json:"console_log"`
	CreatedAt time.Time      `json:"created_at"`
	AppliedAt time.Time      `json:"applied_at"`
	Applied   *spec.VM       `json:"applied"`
}

// HeldPort is a host port that a running machine holds.
type HeldPort struct {
	Address  string `json:"address"`
	Host     int    `json:"host"`
	Guest    int    `json:"guest"`
	Protocol string `json:"protocol"`
}

// MachineJSON prints a machine, without what is sensitive.
func MachineJSON(w io.Writer, m Machine) error {
	m.Detail = Clean(m.Detail)
	m.Applied = withoutSecrets(redacted(m.Applied, m.Applied.Sensitive))
	return writeJSON(w, struct {
		FormatVersion string `json:"format_version"`
		Machine
	}{FormatVersion, m})
}

// withoutSecrets names the environment's secrets, and says nothing of them.
func withoutSecrets(vm *spec.VM) *spec.VM {
	if len(vm.Secrets) == 0 {
		return vm
	}
	out := *vm
	out.Env, out.Secrets = maps.Clone(vm.Env), nil
	if out.Env == nil {
		out.Env = map[string]string{}
	}
	for name := range vm.Secrets {
		out.Env[name] = hidden
	}
	return &out
}
