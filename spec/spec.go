// Package spec says what the user asks for. It turns the stack files of one
// directory into a [Stack], or into diagnostics that name every mistake at
// once, each with its range.
//
// It is pure: it reads through the fs.FS it is given and nothing else, starts
// no process, opens no connection and knows no clock. The same files and
// inputs always give the same Stack.
package spec

import (
	"fmt"
	"time"
)

// Address names one object of a stack as the user would write it:
// vm.db, vm.web["blue"], vm.worker[0], image.debian, template.web.
type Address string

// Pos is a place in a stack file. Line and Column count from 1.
type Pos struct {
	File   string `json:"file"` // relative to the project
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// String is file:line, the form that editors and terminals link.
func (p Pos) String() string {
	switch {
	case p.File == "":
		return ""
	case p.Line == 0: // the environment, or a flag
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Stack is everything the stack files of one directory ask for. It is complete
// and checked: every reference resolves, no two VMs ask for one host port, and
// dependencies have no cycle.
type Stack struct {
	Name    string
	Images  map[Address]Image // image and template blocks
	VMs     map[Address]VM    // one entry per instance of for_each and count
	Volumes map[Address]Volume
	// Devenvs are the devenv blocks. Each is a VM with the same address, and so
	// all that it says of one is among VMs; what is here is for the sessions.
	Devenvs map[Address]Devenv
	// Networks have their subnets, chosen or written.
	Networks map[Address]Network
	Outputs  map[string]Output
	Moved    []Moved        // in the order in which they apply
	Removed  []Removed      // sorted by From
	Imports  []Import       // sorted by To
	Checks   []Check        // sorted by name
	Secrets  []SecretSource // sorted by Address
	// Profiles are the names of all profile blocks, sorted, whether on or off.
	Profiles []string
	// Inputs are the things that values are made from, by what a person calls
	// them: "var.branch", "local.conf", "site/nginx.conf" (a file, relative to
	// the project).
	Inputs map[string]Input
	// From lists, for the place of an argument (a value of VM.Origins, or an
	// image's Origin), the keys of the Inputs that the argument refers to
	// itself, sorted. Those behind them stand in Input.From.
	From map[Pos][]string
	// Files are the files that the evaluation read, stack files included,
	// relative to the project and sorted.
	Files []string
}

// Volume is a disk that outlives its VMs.
type Volume struct {
	Address Address `json:"address"`
	Name    string  `json:"name"`   // data, data-blue, data-0
	Size    int     `json:"size"`   // MiB
	Format  string  `json:"format"` // raw or qcow2
	Origin  Pos     `json:"-"`
}

// Moved says that what was recorded as From is now To. Both are vm or volume
// addresses, of one instance or of a whole block.
type Moved struct {
	From, To Address
	Origin   Pos
}

// Removed says what becomes of something whose block is gone: it is destroyed,
// or, if not Destroy, only forgotten.
type Removed struct {
	From    Address
	Destroy bool
	Origin  Pos
}

// Import adopts something that lkup did not make, or forgot: for a vm an
// instance's directory, for a volume a disk image. It is done once, when To is
// not in the state yet.
type Import struct {
	To     Address
	From   string // path, absolute or relative to the project
	Origin Pos
}

// Check is a check block's assertion, evaluated. Unknown until apply counts as
// neither passed nor failed.
type Check struct {
	Name    string `json:"name"`
	Passed  bool   `json:"passed"`
	Known   bool   `json:"known"`
	Message string `json:"message,omitempty"` // of the first assertion that failed
	Origin  Pos    `json:"origin"`
}

// Input is something that values of a stack are made from. It is compared by
// content with what it was at the last apply, to say why a value changed.
type Input struct {
	// Content is a file's bytes, or a value as JSON.
	Content []byte
	// File says that Content has lines that a person can look at.
	File bool
	// Sensitive says that neither Content nor anything computed from it without
	// a salt may be kept or shown.
	Sensitive bool
	Origin    Pos      // where a variable got its value, or a local is written; a file's is zero
	From      []string // keys of the inputs that this one refers to itself, sorted
}

// Image is an image or a template block: where bootable files come from.
// Exactly one of Source and Template is set.
type Image struct {
	Address Address
	Source  string // "file:disk.qcow2", "https://...": a ref as written
	// Fallbacks are the refs after Source, to be tried in order where those
	// before them cannot be had. They stand for the same image.
	Fallbacks []string  `json:",omitempty"`
	SHA256    string    // hex, when the user pins it
	Arch      string    `json:",omitempty"` // ArchAMD64 or ArchARM64; empty: as this computer's
	Template  *Template // a LinuxKit image built here
	Origin    Pos
}

// Template asks for a LinuxKit image. Exactly one of File and Builtin is set.
type Template struct {
	File    string // a YAML file, relative to the project
	User    string `json:",omitempty"` // one of the user's own, by name
	Builtin string // a template that lkup brings, such as "minimal"
	Vars    map[string]string
}

// VM is one wanted machine. It is also what the state remembers as last
// applied, so its JSON form is part of the state's format.
type VM struct {
	Address   Address           `json:"address"`
	Name      string            `json:"name"`           // the hostname: web, web-blue, worker-0
	Image     Address           `json:"image"`          // key in Stack.Images
	Arch      string            `json:"arch,omitempty"` // the image's
	Driver    string            `json:"driver"`         // "auto", "qemu", ...
	CPUs      int               `json:"cpus"`
	Memory    int               `json:"memory"` // MiB
	Running   bool              `json:"running"`
	Kind      string            `json:"kind,omitempty"`    // KindTask; empty for one that goes on
	Command   []string          `json:"command,omitempty"` // of a task: what it runs, besides the image's services
	Ports     []Port            `json:"ports,omitempty"`   // sorted by Guest, Protocol
	Shares    []Share           `json:"shares,omitempty"`  // sorted by Guest
	Env       map[string]string `json:"env,omitempty"`
	Secrets   map[string]Secret `json:"secrets,omitempty"`  // of Env, but kept nowhere
	Cmdline   string            `json:"cmdline,omitempty"`  // added to the image's own
	Firmware  string            `json:"firmware,omitempty"` // FirmwareUEFI or FirmwareBIOS; empty: as the disk's header says
	Seed      Seed              `json:"seed,omitzero"`
	SSH       Login             `json:"ssh,omitzero"`
	DependsOn []Address         `json:"depends_on,omitempty"` // VMs, explicit or referred to; sorted
	// Conditions says of those of DependsOn that need not be ready what they
	// must be: ConditionStarted. A task is ready when it has completed.
	Conditions map[Address]string `json:"conditions,omitempty"`
	Ready      Ready              `json:"ready"`
	Health     Health             `json:"health,omitzero"`
	Mounts     []Mount            `json:"mounts,omitempty"`   // sorted by Volume
	Networks   []NIC              `json:"networks,omitempty"` // sorted by Network; none: the driver's own network
	// Isolated says that it has no way out of the driver's own network, and is
	// reached by its ports alone. Machines of agents are.
	Isolated bool `json:"isolated,omitempty"`
	// Docker says that the guest runs a Docker Engine, whose socket and whose
	// containers' ports are to be on the host.
	Docker    bool              `json:"docker,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"` // for people and programs; the guest does not see them
	Lifecycle Lifecycle         `json:"lifecycle,omitzero"`
	Restart   Restart           `json:"restart,omitzero"`
	// StopGracePeriod is how long the guest has to power off by itself when it is
	// stopped; 0: not said, see Grace. Nanoseconds in JSON.
	StopGracePeriod time.Duration `json:"stop_grace_period,omitempty"`
	Watch           []Watch       `json:"watch,omitempty"` // sorted

	// Unknown lists the attributes, as in Origins, whose value is known only
	// after apply because it contains a host port that nobody has chosen yet.
	// Such an attribute holds its zero value.
	Unknown []string `json:"-"`
	// Sensitive lists the attributes, as in Origins, whose value no screen
	// may show, because a sensitive variable is in it. Sorted.
	Sensitive []string `json:"sensitive,omitempty"`
	// Origins says where each attribute was written. Keys are attribute
	// paths: "memory", "env.DB_HOST", "port[80]", "port[53/udp]",
	// "share[/srv/www]", "mount[volume.data]", "network[network.lan]", "labels.tier", "seed.user" and "seed" (its block), "ssh.user" and "ssh", "ready.timeout" and "ready" (its block), "health.tcp" and "health", "watch" (all of its blocks), "name" (for
	// hostname), and "" for the vm block. An attribute left at its default has
	// no entry; Origin falls back to the block's.
	Origins map[string]Pos `json:"-"`
}

// OnDemand says that it is made when somebody asks for it by its address, and
// not with all others: an agent's machine is, which has nothing to do while no
// agent runs.
func (vm VM) OnDemand() bool { return vm.Isolated }

// Port forwards a port of the host to one of the guest.
type Port struct {
	Guest    int    `json:"guest"`
	Host     int    `json:"host"`           // 0: auto, and not chosen yet
	Auto     bool   `json:"auto,omitempty"` // lkup chose Host, or will
	Address  string `json:"address"`        // of the host; 127.0.0.1 unless the file says otherwise
	Protocol string `json:"protocol"`       // tcp or udp
}

// Share shows a directory of the host in the guest.
type Share struct {
	Host     string `json:"host"`  // as written: relative to the project, or absolute
	Guest    string `json:"guest"` // absolute
	ReadOnly bool   `json:"read_only,omitempty"`
	// Type is the way in which the guest has it; empty leaves that to the
	// driver. See Way.
	Type string `json:"type,omitempty"`
	// Why is the driver's reason for Type, where the file gives none. It is
	// part of no comparison.
	Why string `json:"-"`
	// AllowSensitive says that it may be what guests should not have: a home
	// directory, keys, sockets. It changes nothing in a machine.
	AllowSensitive bool `json:"allow_sensitive,omitempty"`
	// Protect are patterns of paths in it that the guest cannot change, sorted;
	// Project says that so are those of a project that programs of the host
	// run, or let run what stands in them: see Protected.
	Protect []string `json:"protect,omitempty"`
	Project bool     `json:"project,omitempty"`
}

// Mount gives a VM a volume as a disk.
type Mount struct {
	Volume   Address `json:"volume"`         // key in Stack.Volumes
	Path     string  `json:"path,omitempty"` // absolute, in the guest; empty: only a disk
	Size     int     `json:"size"`           // MiB; the volume's
	ReadOnly bool    `json:"read_only,omitempty"`
}

// Lifecycle bends what a plan may do to a VM.
type Lifecycle struct {
	PreventDestroy bool `json:"prevent_destroy,omitempty"`
	// IgnoreChanges lists attributes, as in Origins, or blocks of them
	// ("env", "port"), whose difference from what was applied plans nothing.
	// "all" stands for every one. Sorted.
	IgnoreChanges []string `json:"ignore_changes,omitempty"`
	// Triggers are the values that replace_triggered_by refers to, as JSON, by
	// the reference as written. When one differs, the VM is replaced.
	Triggers map[string]string `json:"triggers,omitempty"`
}

// Ready lists what must hold before a VM counts as ready. All given probes
// must pass within Timeout. With none, a VM is ready when SSH answers, or, if
// its image takes no key of ours, when its process runs.
type Ready struct {
	TCP     int           `json:"tcp,omitempty"`  // a guest port that accepts
	HTTP    string        `json:"http,omitempty"` // a URL as seen in the guest that answers 2xx or 3xx
	Exec    []string      `json:"exec,omitempty"` // a command in the guest that exits with 0
	Log     string        `json:"log,omitempty"`  // an RE2 pattern that a console line matches
	SSH     bool          `json:"ssh,omitempty"`
	Timeout time.Duration `json:"timeout"` // nanoseconds in JSON
}

// Output is a value for the user. Known is false while it depends on something
// that only apply decides.
type Output struct {
	Name        string
	Description string
	Value       any // string, float64, bool, nil, []any, map[string]any
	Known       bool
	Sensitive   bool // no screen shows the value unless asked for it by name
	Origin      Pos
}

// Facts are choices made before this evaluation that expressions may refer to.
type Facts struct {
	// HostPorts holds the port that lkup chose for each auto port.
	HostPorts map[Address]map[PortKey]int
	// Addresses holds the address that each VM has in each of its networks, if
	// lkup chose it, also those of VMs that are no longer wanted.
	Addresses map[Address]map[Address]string
}

// None reports whether nothing was chosen.
func (f Facts) None() bool { return len(f.HostPorts)+len(f.Addresses) == 0 }

// PortKey identifies a port within a VM.
type PortKey struct {
	Guest    int
	Protocol string
}
