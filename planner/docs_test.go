package planner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lkup/lkup/planner"
)

// attributes are the fields of spec.VM as the stack file has them; those left
// out are no attributes.
var attributes = []struct{ field, name string }{
	{"Name", "`hostname`"}, {"Image", "`image`: its files"}, {"Driver", "`driver`"}, {"CPUs", "`cpus`"}, {"Memory", "`memory`"},
	{"Env", "`env`"}, {"Secrets", "`env`, of a `secret`"}, {"Cmdline", "`cmdline`"}, {"Arch", "`arch` of its image"}, {"Firmware", "`firmware`"}, {"Seed.User", "`seed.user`"}, {"Seed.AuthorizedKeys", "`seed.authorized_keys`"}, {"Seed.UserData", "`seed.user_data`"}, {"Seed.Metadata", "`seed.metadata`"}, {"SSH.User", "`ssh`"}, {"Isolated", "whether it is an agent's machine"}, {"Restart.Policy", "`restart`"}, {"StopGracePeriod", "`stop_grace_period`"}, {"Watch.Paths", "`watch`"}, {"Health.Interval", "`health`"}, {"DependsOn", "`depends_on`"}, {"Kind", "`kind`"}, {"Command", "`command`"},
	{"Ports.Guest", "`port`: added, taken out"}, {"Ports.Host", "`port.host`"}, {"Ports.Address", "`port.address`"}, {"Ports.Protocol", "`port.protocol`"},
	{"Shares.Guest", "`share`: added, taken out"}, {"Shares.Host", "`share.host`"}, {"Shares.ReadOnly", "`share.read_only`"}, {"Shares.Type", "`share.type`"}, {"Shares.Protect", "`share.protect`"}, {"Shares.Project", "`share.project`"},
	{"Mounts.Volume", "`mount`: added, taken out"}, {"Mounts.Path", "`mount.path`"}, {"Mounts.ReadOnly", "`mount.read_only`"}, {"Mounts.Size", "`volume.size`"},
	{"Networks.Network", "`networks`: added, taken out"}, {"Networks.Default", "`networks`: another first"},
	{"Networks.Address", "`network.address`"}, {"Networks.Subnet", "`network.subnet`"}, {"Networks.Aliases", "`network.aliases`"},
	{"Networks.Egress", "`network.egress`"}, {"Networks.HostAccess", "`network.host_access`"}, {"Networks.DNS", "`network.dns`"},
	{"Ready.TCP", "`ready`: its probes"}, {"Ready.Timeout", "`ready.timeout`"}, {"Labels", "`labels`"},
	{"Lifecycle.PreventDestroy", "`lifecycle.prevent_destroy`"}, {"Lifecycle.IgnoreChanges", "`lifecycle.ignore_changes`"},
	{"Lifecycle.Triggers", "`lifecycle.replace_triggered_by`: what it refers to"},
}

// noAttributes are fields that no argument of a stack file has for itself, or
// whose group has a line.
var noAttributes = []string{
	"Address", "Running", "Docker", "Restart.Limit", "Watch.Ignore", "Watch.Action", "Watch.Target", "Watch.Command", "Networks.Name", "Networks.Auto", "Ports.Auto", "Shares.AllowSensitive", "Shares.Why", "Conditions", "Health.TCP", "Health.HTTP", "Health.Exec", "Health.Timeout", "Health.StartPeriod", "Health.Retries", "SSH.PrivateKey", "SSH.HostKey", "Ready.HTTP", "Ready.Exec", "Ready.Log", "Ready.SSH", "Unknown", "Sensitive", "Origins",
}

// TestTheDocumentationSaysWhatChangesCost keeps the table in docs/plans.md.
func TestTheDocumentationSaysWhatChangesCost(t *testing.T) {
	costs := planner.Costs()
	var b strings.Builder
	b.WriteString("| argument | effect | where the driver cannot | |\n|---|---|---|---|\n")
	for _, a := range attributes {
		c := costs[a.field]
		unable, loses := "", ""
		if c.Needs != "" {
			unable = string(planner.EffectRestart)
		}
		if c.Loses {
			loses = "what is on its own disk is lost"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", a.name, c.Effect, unable, loses)
		delete(costs, a.field)
	}
	for field := range costs {
		if !slices.Contains(noAttributes, field) {
			t.Errorf("the documentation says nothing of %s", field)
		}
	}
	path := filepath.Join("..", "docs", "plans.md")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- costs: written by go test ./planner -update -->\n", "<!-- end -->"
	head, rest, _ := strings.Cut(string(content), begin)
	table, tail, found := strings.Cut(rest, end)
	if !found {
		t.Fatalf("%s has no place for the table", path)
	}
	if *update {
		if err := os.WriteFile(path, []byte(head+begin+b.String()+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(b.String(), table); diff != "" {
		t.Errorf("%s; to mend it: go test ./planner -update (-said +true)\n%s", path, diff)
	}
}
