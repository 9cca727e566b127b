package spec

var serveSchema = &schema{
	kind:     "serve",
	optional: []string{"command", "port", "host", "path", "restart"},
	once:     true,
	habits: map[string]string{
		"cmd": "command", "exec": "command", "run": "command", "guest": "port", "url": "path", "ready": "path", "health": "path",
		"reload": "restart", "watch": "restart", "host_port": "host",
	},
}

var testSchema = &schema{
	kind:     "test",
	labelled: true,
	unnamed:  true,
	optional: []string{"command", "artifacts"},
	habits:   map[string]string{"cmd": "command", "exec": "command", "run": "command", "artefacts": "artifacts", "reports": "artifacts", "outputs": "artifacts", "junit": "artifacts"},
}

var dockerSchema = &schema{kind: "docker", once: true}

var agentSchema = &schema{
	kind:     "agent",
	labelled: true,
	optional: []string{"install", "command", "args", "auth", "egress", "model", "env", "budget"},
	habits: map[string]string{
		"cmd": "command", "exec": "command", "arguments": "args", "flags": "args", "allow": "egress", "network": "egress", "hosts": "egress",
		"credentials": "auth", "key": "auth", "api_key": "auth", "environment": "env", "limit": "budget", "max_cost": "budget",
		"npm": "install", "package": "install", "version": "install",
	},
}

var devenvSchema = &schema{
	kind:     "devenv",
	labelled: true,
	root:     true,
	optional: []string{
		"project", "protected", "template", "image", "packages", "setup", "caches", "cache_size", "shell",
		"driver", "cpus", "memory", "env", "depends_on", "hostname", "labels", "networks",
	},
	blocks: []*schema{serveSchema, testSchema, dockerSchema, agentSchema, portSchema, shareSchema, mountSchema, nicSchema, lifecycleSchema, watchSchema},
	habits: map[string]string{
		"dir": "project", "directory": "project", "source": "project", "path": "project", "workdir": "project", "workspace": "project",
		"builtin": "template", "base": "image", "apt": "packages", "install": "packages", "deps": "packages", "dependencies": "packages",
		"cache": "caches", "init": "setup", "on_create": "setup", "post_create": "setup", "postcreatecommand": "setup", "provision": "setup",
		"environment": "env", "ram": "memory", "mem": "memory", "cores": "cpus", "vcpus": "cpus", "cpu": "cpus", "name": "hostname",
		"ports": "port", "forward": "port", "volumes": "mount", "mounts": "mount", "volume": "mount", "shares": "share", "tests": "test", "server": "serve", "agents": "agent",
	},
}
