package spec

import "strings"

// schema says what a kind of block may hold.
type schema struct {
	kind     string
	within   string            // of what, where another block has the same kind
	labelled bool              // it has a name
	required map[string]string // argument -> what to type
	optional []string
	blocks   []*schema
	unnamed  bool // it may lack the name, but not in JSON
	once     bool // at most one per parent
	open     bool // any argument, no blocks
	root     bool // of the project alone, not of a module
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

// key tells blocks of one kind apart that hold different things.
func (s *schema) key() string { return strings.TrimPrefix(s.within+"."+s.kind, ".") }

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
	optional: []string{"type", "read_only", "project", "protect", "allow_sensitive"},
	habits: map[string]string{
		"source": "host", "target": "guest", "path": "guest", "mount_point": "guest",
		"readonly": "read_only", "ro": "read_only", "writable": "read_only", "kind": "type", "mode": "type", "driver": "type",
	},
}

var readySchema = &schema{
	kind:     "ready",
	optional: []string{"tcp", "http", "exec", "log", "ssh", "timeout"},
	once:     true,
	habits:   map[string]string{"port": "tcp", "url": "http", "command": "exec", "test": "exec", "cmd": "exec", "pattern": "log", "console": "log"},
}

var healthSchema = &schema{
	kind:     "health",
	optional: []string{"tcp", "http", "exec", "interval", "timeout", "start_period", "retries"},
	once:     true,
	habits:   map[string]string{"port": "tcp", "url": "http", "command": "exec", "test": "exec", "cmd": "exec", "every": "interval", "grace": "start_period", "initial_delay": "start_period", "threshold": "retries"},
}

var watchSchema = &schema{
	kind:     "watch",
	required: map[string]string{"paths": `paths = ["site/**"]`, "action": `action = "sync", "restart", "rebuild" or "exec"`},
	optional: []string{"ignore", "target", "command"},
	habits:   map[string]string{"path": "paths", "files": "paths", "exclude": "ignore", "exec": "command", "cmd": "command", "to": "target", "guest": "target"},
}

var mountSchema = &schema{
	kind:     "mount",
	required: map[string]string{"volume": "volume = volume.NAME"},
	optional: []string{"path", "read_only"},
	habits:   map[string]string{"target": "path", "guest": "path", "mount_point": "path", "destination": "path", "source": "volume", "disk": "volume", "name": "volume", "readonly": "read_only", "ro": "read_only"},
}

// nicSchema is a VM's place in a network.
var nicSchema = &schema{
	kind:     "network",
	within:   "vm",
	required: map[string]string{"network": "network = network.NAME"},
	optional: []string{"address", "aliases"},
	habits: map[string]string{
		"name": "network", "source": "network", "ip": "address", "ipv4_address": "address", "ipv4": "address", "alias": "aliases", "names": "aliases",
	},
}

var lifecycleSchema = &schema{
	kind:     "lifecycle",
	optional: []string{"prevent_destroy", "ignore_changes", "replace_triggered_by"},
	once:     true,
	habits:   map[string]string{"prevent_delete": "prevent_destroy", "protect": "prevent_destroy", "ignore": "ignore_changes", "triggers": "replace_triggered_by"},
}

// dynamicSchema stands for the blocks that its content repeats.
var dynamicSchema = &schema{
	kind:     "dynamic",
	labelled: true,
	required: map[string]string{"for_each": "for_each = [80, 443]"},
	optional: []string{"iterator"},
}

var seedSchema = &schema{
	kind:     "seed",
	optional: []string{"user", "authorized_keys", "user_data", "metadata"},
	once:     true,
	habits: map[string]string{
		"username": "user", "keys": "authorized_keys", "ssh_keys": "authorized_keys", "ssh_authorized_keys": "authorized_keys",
		"userdata": "user_data", "user-data": "user_data", "cloud_config": "user_data", "cloud_init": "user_data", "data": "metadata",
	},
}

// loginSchema is the way into an image that takes no key of lkup's.
var loginSchema = &schema{
	kind: "ssh",
	required: map[string]string{
		"user":        `user = "root"`,
		"private_key": `private_key = "keys/id_ed25519"`,
		"host_key":    `host_key = "ssh-ed25519 AAAA..."`,
	},
	once: true,
	habits: map[string]string{
		"username": "user", "key": "private_key", "identity_file": "private_key", "identity": "private_key", "hostkey": "host_key", "known_hosts": "host_key",
	},
}

var vmSchema = &schema{
	kind:     "vm",
	labelled: true,
	required: map[string]string{"image": "image = template.NAME, image = image.NAME, or image = \"builtin:minimal\""},
	optional: []string{
		"for_each", "count", "driver", "cpus", "memory", "running", "env", "cmdline", "depends_on", "hostname", "labels", "restart", "networks", "kind", "command", "firmware", "stop_grace_period",
	},
	blocks: []*schema{portSchema, shareSchema, mountSchema, nicSchema, seedSchema, loginSchema, readySchema, healthSchema, lifecycleSchema, watchSchema, dynamicSchema},
	habits: map[string]string{
		"environment": "env", "ram": "memory", "mem": "memory", "cores": "cpus", "vcpus": "cpus", "cpu": "cpus",
		"name": "hostname", "ports": "port", "forward": "port", "volumes": "mount", "mounts": "mount", "disk": "mount", "volume": "mount",
		"shares": "share", "label": "labels", "tags": "labels", "metadata": "labels", "healthcheck": "health", "probe": "ready", "entrypoint": "command", "type": "kind", "kernel_params": "cmdline",
		"append": "cmdline", "template": "image", "source": "image", "enabled": "running", "started": "running",
		"replicas": "count", "hypervisor": "driver", "restart_policy": "restart", "stop_grace": "stop_grace_period", "stop_timeout": "stop_grace_period", "grace": "stop_grace_period", "grace_period": "stop_grace_period", "nic": "network", "interface": "network", "network_interface": "network", "nics": "networks",
		"cloud_init": "seed", "cloudinit": "seed", "cidata": "seed", "user_data": "seed", "connection": "ssh", "login": "ssh", "bios": "firmware", "uefi": "firmware", "boot": "firmware",
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
	optional: []string{"type", "default", "description", "nullable", "sensitive", "ephemeral"},
	blocks:   []*schema{validationSchema},
	habits:   map[string]string{"value": "default", "desc": "description", "secret": "sensitive", "hidden": "sensitive"},
}

var volumeSchema = &schema{
	kind:     "volume",
	labelled: true,
	required: map[string]string{"size": `size = "2GiB"`},
	optional: []string{"for_each", "count", "format"},
	habits:   map[string]string{"capacity": "size", "type": "format", "driver": "format"},
}

var networkSchema = &schema{
	kind:     "network",
	labelled: true,
	optional: []string{"for_each", "count", "subnet", "dns", "egress", "host_access"},
	habits: map[string]string{
		"cidr": "subnet", "address": "subnet", "addresses": "subnet", "range": "subnet", "nameservers": "dns", "resolvers": "dns",
		"allow": "egress", "internal": "egress", "outbound": "egress", "host": "host_access",
	},
}

var moduleSchema = &schema{
	kind:     "module",
	labelled: true,
	required: map[string]string{"source": `source = "./modules/NAME"`},
	optional: []string{"for_each", "count", "depends_on"},
	open:     true, // the module's own variables
}

var secretSchema = &schema{
	kind:     "secret",
	labelled: true,
	optional: []string{"env", "file", "command", "description"},
	habits:   map[string]string{"environment": "env", "variable": "env", "path": "file", "cmd": "command", "exec": "command"},
}

var assertSchema = &schema{
	kind: "assert",
	required: map[string]string{
		"condition":     `condition = vm.NAME.memory != ""`,
		"error_message": `error_message = "Say what is wrong."`,
	},
}

var checkSchema = &schema{
	kind:     "check",
	labelled: true,
	blocks:   []*schema{assertSchema},
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
			optional: []string{"sha256", "arch"},
			habits:   map[string]string{"url": "source", "file": "source", "checksum": "sha256", "digest": "sha256", "platform": "arch", "architecture": "arch"},
		},
		{
			kind: "template", labelled: true,
			optional: []string{"file", "name", "builtin", "vars", "arch"},
			habits:   map[string]string{"source": "file", "path": "file", "variables": "vars", "args": "vars", "platform": "arch", "architecture": "arch"},
		},
		vmSchema,
		devenvSchema,
		volumeSchema,
		networkSchema,
		moduleSchema,
		secretSchema,
		checkSchema,
		{kind: "moved", required: map[string]string{"from": "from = vm.OLD", "to": "to = vm.NEW"}},
		{
			kind: "removed", required: map[string]string{"from": "from = vm.OLD"},
			optional: []string{"destroy"},
		},
		{
			kind: "import", root: true,
			required: map[string]string{"to": "to = volume.NAME", "from": `from = "disk.qcow2"`},
			habits:   map[string]string{"id": "from", "source": "from", "path": "from"},
		},
		{
			kind: "profile", labelled: true, root: true,
			required: map[string]string{"members": "members = [vm.NAME]"},
			habits:   map[string]string{"vms": "members", "services": "members"},
		},
		{
			kind: "output", labelled: true,
			required: map[string]string{"value": "value = vm.NAME.hostname"},
			optional: []string{"description", "sensitive"},
		},
	},
	habits: map[string]string{
		"machine": "vm", "service": "vm", "services": "vm", "instance": "vm", "resource": "vm", "virtual_machine": "vm",
		"var": "variable", "variables": "variable", "local": "locals", "terraform": "stack", "outputs": "output",
		"volumes": "volume", "disk": "volume", "networks": "network", "switch": "network", "bridge": "network", "secrets": "secret", "modules": "module", "profiles": "profile", "assert": "check",
		"dev": "devenv", "environment": "devenv", "devcontainer": "devenv", "workspace": "devenv",
	},
}
