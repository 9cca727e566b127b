package arch

// Module is the module's path.
const Module = "github.com/lkup/lkup"

// Rule is what one package may import.
type Rule struct {
	Package string   // folder, relative to the module
	Ours    []string // packages of this module that it may import; "*" for all
	Never   []string // capabilities, as in [Capabilities], that it must not have
}

// Capabilities are the powers that a package can be denied, by the name that
// the table uses for them.
func Capabilities() map[string]Capability {
	return map[string]Capability{
		"os":       {Imports: []string{"os", "syscall", "golang.org/x/sys"}},
		"net":      {Imports: []string{"net"}, Except: []string{"net/netip", "net/url"}},
		"exec":     {Imports: []string{"os/exec"}},
		"io":       {Imports: []string{"io"}},
		"log":      {Imports: []string{"log"}},
		"rand":     {Imports: []string{"math/rand", "crypto/rand"}},
		"hcl":      {Imports: []string{"github.com/hashicorp/hcl", "github.com/zclconf/go-cty"}},
		"terminal": {Imports: []string{"golang.org/x/term", "github.com/alecthomas/kong"}},
		"clock": {Imports: nil, Time: []string{
			"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker",
		}},
	}
}

// Capability is a power that comes with imports, or with functions of package time.
type Capability struct {
	Imports []string // import paths; each covers what lies below it
	Except  []string // import paths below those that are harmless
	Time    []string // functions of package time
}

// Rules is the import table. ARCHITECTURE.md shows it; a test keeps the two equal.
func Rules() []Rule {
	pure := []string{"os", "net", "exec", "log", "clock"}
	driver := []string{"drivers", "spec"}
	source := []string{"sources", "spec", "sources/store", "guest", "guest/embedded"}
	return []Rule{
		{"spec", nil, pure},
		{"agent", []string{"spec"}, []string{"hcl", "exec", "terminal", "clock"}},
		{"agent/npm", []string{"spec", "sources", "sources/download", "sources/store"}, []string{"hcl", "exec", "terminal", "clock"}},
		{"agent/npm/npmtest", nil, []string{"hcl", "os", "exec", "terminal", "clock"}},
		{"drivers", []string{"spec"}, []string{"hcl", "os", "exec"}},
		{"drivers/drivertest", append([]string{"internal/porttest"}, driver...), []string{"hcl"}},
		{"drivers/fake", append([]string{"drivers/local", "guest", "internal/process"}, driver...), []string{"hcl"}},
		{"drivers/hyperkit", append([]string{"drivers/local", "internal/process"}, driver...), []string{"hcl"}},
		{"drivers/local", append([]string{"internal/process"}, driver...), []string{"hcl", "exec"}},
		{"drivers/qemu", append([]string{"drivers/local", "internal/process", "share"}, driver...), []string{"hcl"}},
		{"sources", []string{"spec"}, []string{"hcl", "os", "exec"}},
		{"sources/store", source, []string{"hcl"}},
		{"sources/apt", append([]string{"internal/process"}, source...), []string{"hcl"}},
		{"sources/builtin", source, []string{"hcl"}},
		{"sources/dockerarchive", source, []string{"hcl", "exec", "net", "clock"}},
		{"sources/disk", source, []string{"hcl", "exec", "net", "clock"}},
		{"sources/download", source, []string{"hcl", "exec"}},
		{"sources/file", append([]string{"sources/disk"}, source...), []string{"hcl"}},
		{"sources/lock", []string{"sources", "spec"}, pure},
		{"sources/oci", source, []string{"hcl"}},
		{"sources/github", append([]string{"sources/disk", "sources/download"}, source...), []string{"hcl", "exec", "clock"}},
		{"sources/https", append([]string{"sources/disk", "sources/download"}, source...), []string{"hcl", "exec", "clock"}},
		{"sources/ocilayout", source, []string{"hcl"}},
		{"sources/offline", []string{"sources", "spec"}, append([]string{"hcl"}, pure...)},
		{"sources/sourcetest", source, []string{"hcl"}},
		{"linuxkit", source, []string{"hcl"}},
		{"linuxkit/output", append([]string{"internal/iso9660", "internal/process"}, source...), []string{"hcl"}},
		{"network", []string{"drivers", "spec", "internal/process"}, []string{"hcl", "exec", "terminal"}},
		{"share", nil, []string{"hcl", "net", "exec", "log", "rand", "clock", "terminal"}},
		{"planner", []string{"spec", "drivers", "sources"}, append([]string{"hcl", "io", "rand"}, pure...)},
		{"reconciler", []string{"spec", "planner", "drivers", "sources", "guest", "share", "internal/state", "internal/layout"}, []string{"hcl", "terminal"}},
		{"devenv", []string{"spec"}, append([]string{"hcl", "rand"}, pure...)},
		{"supervisor", []string{"spec", "drivers"}, append([]string{"hcl", "io", "rand"}, pure...)},
		{"watcher", []string{"spec"}, append([]string{"hcl", "rand"}, pure...)},
		{"guest", nil, []string{"hcl", "os", "net", "exec", "clock"}},
		{"guest/embedded", nil, []string{"hcl", "net", "exec"}},
		{"guest/lkup-init", []string{"guest", "guest/sshd"}, []string{"hcl"}},
		{"guest/seed", []string{"guest", "internal/iso9660"}, []string{"hcl", "os", "net", "exec", "clock"}},
		{"guest/sshd", []string{"guest"}, []string{"hcl"}},
		{"internal/dockerapi", nil, []string{"hcl", "os", "exec", "log", "clock", "terminal"}},
		{"internal/iso9660", nil, append([]string{"hcl", "rand"}, pure...)},
		{"internal/layout", nil, append([]string{"hcl", "io"}, pure...)},
		{"internal/lease", []string{"internal/layout"}, []string{"hcl", "net", "exec", "terminal", "clock"}},
		{"internal/porttest", nil, []string{"hcl", "exec", "clock"}},
		{"internal/process", nil, []string{"hcl", "terminal"}},
		{"internal/ssh", []string{"spec", "drivers", "guest", "guest/seed", "reconciler", "internal/state"}, []string{"hcl"}},
		{"internal/state", []string{"spec", "planner", "drivers", "sources", "internal/layout"}, []string{"hcl", "terminal"}},
		{"internal/volume", []string{"internal/process", "drivers", "sources/file", "spec"}, []string{"hcl", "net", "terminal", "clock"}},
		{"internal/view", []string{"spec", "planner", "reconciler", "drivers", "sources", "devenv"}, []string{"os", "net", "exec", "clock"}},
		{"internal/arch", nil, []string{"hcl", "os", "net", "exec", "clock"}},
		{"internal/bench", nil, []string{"hcl"}},
		{"cmd/lkup", []string{"*"}, nil},
		{"lkuptest", []string{"internal/layout", "internal/lease"}, []string{"hcl", "terminal"}},
	}
}

// forbiddenNames are names that say nothing about what a package is for.
func forbiddenNames() []string {
	return []string{"util", "utils", "common", "helper", "helpers", "types", "constants", "pkg", "misc", "shared", "mock", "mocks"}
}
