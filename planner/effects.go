package planner

// attribute is one part of a VM that a plan compares.
type attribute string

// The attributes, by the name a stack file gives them. Those with a key in
// brackets or behind a dot are compared one by one: port[80], env.DB_HOST.
const (
	attrImage     attribute = "image"
	attrName      attribute = "name"
	attrDriver    attribute = "driver"
	attrCPUs      attribute = "cpus"
	attrMemory    attribute = "memory"
	attrPort      attribute = "port"
	attrShare     attribute = "share"
	attrEnv       attribute = "env"
	attrCmdline   attribute = "cmdline"
	attrDependsOn attribute = "depends_on"
	attrReady     attribute = "ready"
	attrRunning   attribute = "running"
)

// effects says what a change of each attribute costs. It is the only place
// that does. running is none because the plan answers it with an action of its
// own, Start or Stop.
var effects = map[attribute]Effect{
	attrImage:     EffectReplace,
	attrName:      EffectReplace,
	attrDriver:    EffectReplace,
	attrCPUs:      EffectRestart,
	attrMemory:    EffectRestart,
	attrPort:      EffectRestart,
	attrShare:     EffectRestart,
	attrEnv:       EffectRestart,
	attrCmdline:   EffectRestart,
	attrDependsOn: EffectNone,
	attrReady:     EffectNone,
	attrRunning:   EffectNone,
}

// cost orders effects.
var cost = map[Effect]int{EffectNone: 0, EffectLive: 1, EffectRestart: 2, EffectReplace: 3}

// worst is the dearest effect among changes.
func worst(changes []Change) Effect {
	dearest := EffectNone
	for _, c := range changes {
		if cost[c.Effect] > cost[dearest] {
			dearest = c.Effect
		}
	}
	return dearest
}
