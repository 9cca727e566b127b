package planner

// cost is what it takes to change one field of spec.VM.
type cost struct {
	effect Effect
	// drivers holds the drivers by which it costs something else, by name.
	drivers map[string]Effect
}

// costs is the one place that says what a change costs. Its keys are paths of
// Go fields below spec.VM; an element of a list that comes or goes costs as
// much as its dearest field. A test proves that no field is missing.
//
// Fields that say nothing about the guest cost nothing: they are recorded.
// "Running" is not here to be paid for either: it turns into start and stop.
var costs = map[string]cost{
	"Address":   {effect: EffectNone}, // the VM's identity: it cannot differ
	"Name":      {effect: EffectReplace},
	"Image":     {effect: EffectReplace}, // its digest; the name alone costs nothing
	"Driver":    {effect: EffectReplace},
	"CPUs":      {effect: EffectRestart},
	"Memory":    {effect: EffectRestart},
	"Running":   {effect: EffectNone},
	"Env":       {effect: EffectRestart},
	"Cmdline":   {effect: EffectRestart},
	"DependsOn": {effect: EffectNone},

	"Ports.Guest":    {effect: EffectRestart},
	"Ports.Host":     {effect: EffectRestart},
	"Ports.Auto":     {effect: EffectNone},
	"Ports.Address":  {effect: EffectRestart},
	"Ports.Protocol": {effect: EffectRestart},

	"Shares.Host":     {effect: EffectRestart},
	"Shares.Guest":    {effect: EffectRestart},
	"Shares.ReadOnly": {effect: EffectRestart},

	"Mounts.Volume":   {effect: EffectRestart},
	"Mounts.Path":     {effect: EffectRestart},
	"Mounts.Size":     {effect: EffectRestart},
	"Mounts.ReadOnly": {effect: EffectRestart},

	"Labels":                   {effect: EffectNone},
	"Lifecycle.PreventDestroy": {effect: EffectNone},
	"Lifecycle.IgnoreChanges":  {effect: EffectNone},
	"Lifecycle.Triggers":       {effect: EffectReplace},

	"Ready.TCP":     {effect: EffectNone},
	"Ready.HTTP":    {effect: EffectNone},
	"Ready.Exec":    {effect: EffectNone},
	"Ready.Log":     {effect: EffectNone},
	"Ready.SSH":     {effect: EffectNone},
	"Ready.Timeout": {effect: EffectNone},

	"Unknown":   {effect: EffectNone},
	"Sensitive": {effect: EffectNone},
	"Origins":   {effect: EffectNone},
}

// Costs says what it costs to change each field of spec.VM under a driver. The
// keys are paths of Go fields: "Memory", "Ports.Host".
func Costs(driver string) map[string]Effect {
	all := make(map[string]Effect, len(costs))
	for field := range costs {
		all[field] = costOf(field, driver)
	}
	return all
}

func costOf(field, driver string) Effect {
	c, found := costs[field]
	if !found {
		panic("planner: no cost for spec.VM." + field)
	}
	if effect, special := c.drivers[driver]; special {
		return effect
	}
	return c.effect
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
