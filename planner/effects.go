package planner

import (
	"fmt"
	"maps"
	"slices"

	"github.com/lkup/lkup/drivers"
)

// Cost is what it takes to change one field of spec.VM.
type Cost struct {
	Effect Effect
	// Needs is what a driver must be able to do for a live effect; without it,
	// the change is a restart.
	Needs drivers.Ability
	// Loses says that what is on the VM's own disk is lost. Volumes stay.
	Loses bool
}

// costs is the one place that says what a change costs. Its keys are paths of
// Go fields below spec.VM; an element of a list that comes or goes costs as
// much as its dearest field. A test proves that no field is missing, and
// another that the documentation says the same.
//
// Fields that say nothing about the guest cost nothing: they are recorded.
// "Running" is not here to be paid for either: it turns into start and stop.
// Of memory, only what the running machine was started with can be given and
// taken; more is a restart. A volume grows and never shrinks.
var costs = map[string]Cost{
	"Address":   {Effect: EffectNone}, // the VM's identity: it cannot differ
	"Name":      {Effect: EffectRestart},
	"Image":     {Effect: EffectReplace, Loses: true}, // its digest; the name alone costs nothing
	"Driver":    {Effect: EffectReplace, Loses: true},
	"Arch":      {Effect: EffectReplace, Loses: true},
	"CPUs":      {Effect: EffectRestart},
	"Memory":    {Effect: EffectLive, Needs: drivers.LiveMemory},
	"Running":   {Effect: EffectNone},
	"Env":       {Effect: EffectRestart},
	"Secrets":   {Effect: EffectRestart},
	"Cmdline":   {Effect: EffectRestart},
	"Isolated":  {Effect: EffectRestart},
	"DependsOn": {Effect: EffectNone},
	"Firmware":  {Effect: EffectRestart},
	// cloud-init does most of its work once in a machine's life.
	"Seed.User":           {Effect: EffectReplace, Loses: true},
	"Seed.AuthorizedKeys": {Effect: EffectReplace, Loses: true},
	"Seed.UserData":       {Effect: EffectReplace, Loses: true},
	"Seed.Metadata":       {Effect: EffectRestart},
	// The machine is proved again.
	"SSH.User":       {Effect: EffectLive},
	"SSH.PrivateKey": {Effect: EffectLive},
	"SSH.HostKey":    {Effect: EffectLive},
	// What a task runs is what it is made from: it is run again.
	"Kind":       {Effect: EffectRestart},
	"Command":    {Effect: EffectRestart},
	"Conditions": {Effect: EffectNone},

	"Ports.Guest":    {Effect: EffectLive, Needs: drivers.LivePorts},
	"Ports.Host":     {Effect: EffectLive, Needs: drivers.LivePorts},
	"Ports.Auto":     {Effect: EffectNone},
	"Ports.Address":  {Effect: EffectLive, Needs: drivers.LivePorts},
	"Ports.Protocol": {Effect: EffectLive, Needs: drivers.LivePorts},

	"Shares.Host":           {Effect: EffectRestart},
	"Shares.Guest":          {Effect: EffectRestart},
	"Shares.ReadOnly":       {Effect: EffectRestart},
	"Shares.Type":           {Effect: EffectRestart},
	"Shares.Why":            {Effect: EffectNone}, // of Type
	"Shares.Protect":        {Effect: EffectRestart},
	"Shares.Project":        {Effect: EffectRestart},
	"Shares.AllowSensitive": {Effect: EffectNone}, // about what may be planned

	"Mounts.Volume":   {Effect: EffectRestart},
	"Mounts.Path":     {Effect: EffectRestart},
	"Mounts.Size":     {Effect: EffectLive, Needs: drivers.LiveVolumes},
	"Mounts.ReadOnly": {Effect: EffectRestart},

	// The guest has its addresses from its start; the rest is the switch's affair.
	"Networks.Network":    {Effect: EffectRestart},
	"Networks.Name":       {Effect: EffectLive, Needs: drivers.LiveNetworks},
	"Networks.Subnet":     {Effect: EffectRestart},
	"Networks.Address":    {Effect: EffectRestart},
	"Networks.Auto":       {Effect: EffectNone},
	"Networks.Default":    {Effect: EffectRestart},
	"Networks.Aliases":    {Effect: EffectLive, Needs: drivers.LiveNetworks},
	"Networks.DNS":        {Effect: EffectLive, Needs: drivers.LiveNetworks},
	"Networks.Egress":     {Effect: EffectLive, Needs: drivers.LiveNetworks},
	"Networks.HostAccess": {Effect: EffectLive, Needs: drivers.LiveNetworks},

	// Who watches or stops the machine reads the record.
	"Docker":          {Effect: EffectNone},
	"Restart.Policy":  {Effect: EffectNone},
	"Restart.Limit":   {Effect: EffectNone},
	"StopGracePeriod": {Effect: EffectNone},

	"Health.TCP":         {Effect: EffectNone},
	"Health.HTTP":        {Effect: EffectNone},
	"Health.Exec":        {Effect: EffectNone},
	"Health.Interval":    {Effect: EffectNone},
	"Health.Timeout":     {Effect: EffectNone},
	"Health.StartPeriod": {Effect: EffectNone},
	"Health.Retries":     {Effect: EffectNone},

	// lkup watch reads them in the stack files.
	"Watch.Paths":   {Effect: EffectNone},
	"Watch.Ignore":  {Effect: EffectNone},
	"Watch.Action":  {Effect: EffectNone},
	"Watch.Target":  {Effect: EffectNone},
	"Watch.Command": {Effect: EffectNone},

	"Labels":                   {Effect: EffectNone},
	"Lifecycle.PreventDestroy": {Effect: EffectNone},
	"Lifecycle.IgnoreChanges":  {Effect: EffectNone},
	"Lifecycle.Triggers":       {Effect: EffectReplace, Loses: true},

	// The machine is proved again.
	"Ready.TCP":     {Effect: EffectLive},
	"Ready.HTTP":    {Effect: EffectLive},
	"Ready.Exec":    {Effect: EffectLive},
	"Ready.Log":     {Effect: EffectLive},
	"Ready.SSH":     {Effect: EffectLive},
	"Ready.Timeout": {Effect: EffectNone},

	"Unknown":   {Effect: EffectNone},
	"Sensitive": {Effect: EffectNone},
	"Origins":   {Effect: EffectNone},
}

// Costs says what it costs to change each field of spec.VM. The keys are paths
// of Go fields: "Memory", "Ports.Host".
func Costs() map[string]Cost { return maps.Clone(costs) }

// price is what a change costs under a driver, and why it is not less.
type price struct {
	effect Effect
	loses  bool
	why    string
}

// cost is the price of a change of one field.
func (d *diff) cost(field string) price {
	c, found := costs[field]
	if !found {
		panic("planner: no cost for spec.VM." + field)
	}
	if c.Needs != "" && !slices.Contains(d.abilities, c.Needs) {
		return price{effect: EffectRestart, why: fmt.Sprintf("driver %s cannot change %s of a running machine", d.driver, c.Needs)}
	}
	return price{effect: c.Effect, loses: c.Loses}
}

// dearer is the higher of two prices; of two equal ones, the one that cannot be
// less whatever the driver.
func dearer(a, b price) price {
	switch more := b.effect.rank() - a.effect.rank(); {
	case more > 0, more == 0 && b.why == "":
		return b
	}
	return a
}

// rank orders effects, the cheapest first; no change at all ranks lowest.
func (e Effect) rank() int {
	switch e {
	case EffectNone:
		return 1
	case EffectLive:
		return 2
	case EffectRestart:
		return 3
	case EffectReplace:
		return 4
	default:
		return 0
	}
}

// Exceeds reports whether an effect goes further than another.
func (e Effect) Exceeds(limit Effect) bool { return e.rank() > limit.rank() }

// dearest is the highest effect of all; "" of none.
func dearest(effects ...Effect) Effect {
	var top Effect
	for _, e := range effects {
		if e.rank() > top.rank() {
			top = e
		}
	}
	return top
}

// Limit is how far a step goes, for who wants to limit it: what it does to a
// guest that runs, or to its disk.
func (s Step) Limit() Effect {
	switch s.Action {
	case NoOp, Create, Start, Forget, Update:
		return dearest(EffectNone, s.Effect)
	case Restart, Stop:
		return EffectRestart
	case Replace, Delete:
		return EffectReplace
	default:
		panic("planner: no such action: " + string(s.Action))
	}
}
