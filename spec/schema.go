package spec

// schema says what a kind of block may hold.
type schema struct {
	kind     string
	labelled bool              // it has a name
	required map[string]string // argument -> what to type
	optional []string
	blocks   []*schema
	once     bool // at most one per parent
	open     bool // any argument, no blocks
	// habits maps names that people bring from other tools to ours.
	habits map[string]string
}

func (s *schema) arguments() []string {
	names := append([]string(nil), s.optional...)
	for name := range s.required {
		names = append(names, name)
	}
	return names
}

func (s *schema) takes(argument string) bool {
	if s.open {
		return true
	}
	for _, name := range s.arguments() {
		if name == argument {
			return true
		}
	}
	return false
}

func (s *schema) block(kind string) *schema {
	for _, b := range s.blocks {
		if b.kind == kind {
			return b
		}
	}
	return nil
}

func (s *schema) blockKinds() []string {
	var kinds []string
	for _, b := range s.blocks {
		kinds = append(kinds, b.kind)
	}
	return kinds
}

// name is what a text calls the block.
func (s *schema) name() string {
	if s.kind == "" {
		return "stack file"
	}
	return s.kind + " block"
}

var portSchema = &schema{
	kind:     "port",
	required: map[string]string{"guest": "guest = 80"},
	optional: []string{"host", "address", "protocol"},
	habits: map[string]string{
		"container": "guest", "internal": "guest", "to": "guest", "target": "guest",
		"external": "host", "from": "host", "published": "host", "ip": "address", "proto": "protocol",
	},
}

var shareSchema = &schema{
	kind:     "share",
	required: map[string]string{"host": `host = "./site"`, "guest": `guest = "/srv/www"`},
	optional: []string{"read_only"},
	habits: map[string]string{
		"source": "host", "target": "guest", "path": "guest", "mount_point": "guest",
		"readonly": "read_only", "ro": "read_only", "writable": "read_only",
	},
}

var readySchema = &schema{
	kind:     "ready",
	optional: []string{"tcp", "http", "exec", "log", "ssh", "timeout"},
	once:     true,
	habits:   map[string]string{"port": "tcp", "url": "http", "command": "exec", "test": "exec", "cmd": "exec", "pattern": "log", "console": "log"},
}

var vmSchema = &schema{
	kind:     "vm",
	labelled: true,
	required: map[string]string{"image": "image = template.NAME, image = image.NAME, or image = \"builtin:minimal\""},
	optional: []string{
		"for_each", "count", "driver", "cpus", "memory", "running", "env", "cmdline", "depends_on", "hostname",
	},
	blocks: []*schema{portSchema, shareSchema, readySchema},
	habits: map[string]string{
		"environment": "env", "ram": "memory", "mem": "memory", "cores": "cpus", "vcpus": "cpus", "cpu": "cpus",
		"name": "hostname", "ports": "port", "forward": "port", "volumes": "share", "mounts": "share", "mount": "share",
		"shares": "share", "healthcheck": "ready", "probe": "ready", "command": "cmdline", "kernel_params": "cmdline",
		"append": "cmdline", "template": "image", "source": "image", "enabled": "running", "started": "running",
		"replicas": "count", "hypervisor": "driver",
	},
}

var validationSchema = &schema{
	kind: "validation",
	required: map[string]string{
		"condition":     "condition = var.NAME != \"\"",
		"error_message": `error_message = "Say what a good value is."`,
	},
}

var variableSchema = &schema{
	kind:     "variable",
	labelled: true,
	optional: []string{"type", "default", "description", "nullable", "sensitive"},
	blocks:   []*schema{validationSchema},
	habits:   map[string]string{"value": "default", "desc": "description", "secret": "sensitive"},
}

var fileSchema = &schema{
	blocks: []*schema{
		{
			kind: "stack", labelled: true, once: true,
			optional: []string{"required_version"},
			habits:   map[string]string{"version": "required_version"},
		},
		variableSchema,
		{kind: "locals", open: true},
		{
			kind: "image", labelled: true,
			required: map[string]string{"source": `source = "file:disk.qcow2"`},
			optional: []string{"sha256"},
			habits:   map[string]string{"url": "source", "file": "source", "checksum": "sha256", "digest": "sha256"},
		},
		{
			kind: "template", labelled: true,
			optional: []string{"file", "builtin", "vars"},
			habits:   map[string]string{"source": "file", "path": "file", "variables": "vars", "args": "vars"},
		},
		vmSchema,
		{
			kind: "output", labelled: true,
			required: map[string]string{"value": "value = vm.NAME.hostname"},
			optional: []string{"description", "sensitive"},
		},
	},
	habits: map[string]string{
		"machine": "vm", "service": "vm", "services": "vm", "instance": "vm", "resource": "vm", "virtual_machine": "vm",
		"var": "variable", "variables": "variable", "local": "locals", "terraform": "stack", "outputs": "output",
	},
}
