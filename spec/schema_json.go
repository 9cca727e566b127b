package spec

import (
	"maps"
	"slices"
)

// about says of an argument what it holds and what it is for, for editors.
type about struct {
	kind string // text, texts (one or a list), number, flag, list, map, any; every one may be an expression in a text
	text string
}

// arguments describes every argument of every block, by block and name. A test
// proves that none is missing.
var arguments = map[string]map[string]about{
	"stack": {"required_version": {"text", "The versions of lkup that may run this stack: \">= 0.1\"."}},
	"variable": {
		"type":        {"text", "A type: string, number, bool, list(string), object({...})."},
		"default":     {"any", "The value if none is given. Without one, a value must be given."},
		"description": {"text", "For people."},
		"nullable":    {"flag", "Whether null is a value. Default: true."},
		"sensitive":   {"flag", "No screen shows the value, nor what is computed from it."},
		"ephemeral":   {"flag", "The value is kept nowhere: only the env of a vm takes it."},
	},
	"validation": {
		"condition":     {"flag", "What must hold of the value."},
		"error_message": {"text", "What a good value is."},
	},
	"image": {
		"source": {"texts", "Where the image comes from: \"file:disk.qcow2\", or a list of such refs, tried in order."},
		"sha256": {"text", "Its checksum, in hex."},
		"arch":   {"text", "What kind of computer it is for: \"amd64\" or \"arm64\". Default: this one's. Others are emulated."},
	},
	"template": {
		"file":    {"text", "A LinuxKit YAML file, relative to the project."},
		"name":    {"text", "A template by name: templates/NAME.yml of the project, else one of the user's, else one that lkup brings."},
		"builtin": {"text", "A template that lkup brings, such as \"minimal\"."},
		"vars":    {"map", "Values that the YAML file refers to."},
		"arch":    {"text", "What kind of computer it is built for: \"amd64\" or \"arm64\". Default: this one's. Others are emulated."},
	},
	"volume": {
		"size":     {"text", "How much it holds: \"2GiB\". It can grow, and never shrinks."},
		"format":   {"text", "raw (the default) or qcow2."},
		"for_each": {"any", "A map or a set of strings: an instance for each."},
		"count":    {"number", "So many instances."},
	},
	"network": {
		"subnet":      {"text", "Its IPv4 addresses: \"10.89.7.0/24\". Default: chosen."},
		"dns":         {"list", "Resolvers for names outside. Default: the host's."},
		"egress":      {"texts", "What its VMs may reach outside: \"all\" (the default), \"none\", or a list of \"HOST:PORT\" and addresses such as \"10.0.0.0/8\"."},
		"host_access": {"flag", "Whether its VMs may reach the host. Default: false."},
		"for_each":    {"any", "A map or a set of strings: an instance for each."},
		"count":       {"number", "So many instances."},
	},
	"vm.network": {
		"network": {"text", "A network: \"${network.lan}\"."},
		"address": {"text", "The VM's address in it. Default: chosen, and kept."},
		"aliases": {"list", "Further names of the VM in it."},
	},
	"vm": {
		"image":             {"text", "An image or a template: \"${template.web}\", or \"builtin:minimal\"."},
		"for_each":          {"any", "A map or a set of strings: an instance for each."},
		"count":             {"number", "So many instances."},
		"driver":            {"text", "Who runs it: \"auto\" (the default) or \"qemu\"."},
		"cpus":              {"number", "How many CPUs. Default: 1."},
		"memory":            {"text", "How much memory: \"512MiB\". Default: 256MiB."},
		"running":           {"flag", "Whether it shall run. Default: true."},
		"env":               {"map", "Environment variables of its services and commands."},
		"cmdline":           {"text", "Words to add to the kernel's command line."},
		"depends_on":        {"any", "VMs and modules that must be ready first, besides those referred to; or VMs and what they must be: started, ready or completed."},
		"hostname":          {"text", "Its host name. Default: the block's name, with the instance's key."},
		"labels":            {"map", "For people and programs; the guest does not see them."},
		"kind":              {"text", "\"task\": it runs to an exit status, once, and is run again when something changes that it is made from."},
		"command":           {"list", "Of a task: what it runs."},
		"firmware":          {"text", "What starts its disk: \"uefi\" or \"bios\". Default: seen in the disk."},
		"networks":          {"list", "The networks that it is in: [\"${network.lan}\"]. The first leads out. Default: none, and the driver's own."},
		"restart":           {"text", "What becomes of it when it ends by itself: \"no\" (the default), \"on-failure\" or \"always\", with a number of restarts in a row as in \"always:3\"."},
		"stop_grace_period": {"text", "How long its guest has to power off by itself when it is stopped: \"1m\". Default: 20s."},
	},
	"devenv": {
		"project":    {"text", "The directory that is worked on, seen at /app. Default: \".\"."},
		"protected":  {"flag", "Whether the guest is kept from files of the project that programs of the host take commands from, such as git's hooks. Default: true."},
		"template":   {"text", "A template, \"${template.work}\", or the name of one. Default: dev."},
		"image":      {"text", "An image instead of a template, as of a vm."},
		"packages":   {"list", "Packages of Debian that the template is to have, too: [\"golang-go\"]."},
		"setup":      {"list", "Lines for the guest's shell, run in the project once per change of theirs and machine."},
		"caches":     {"list", "Directories of the guest that are volumes. Default: [\"/root/.cache\"]."},
		"cache_size": {"text", "How much each of them holds. Default: 20GiB, which take no space until they are written to."},
		"shell":      {"list", "The command that lkup dev shell runs. Default: the guest's login shell."},
		"driver":     {"text", "Who runs it: \"auto\" (the default) or \"qemu\"."},
		"cpus":       {"number", "How many CPUs. Default: 2."},
		"memory":     {"text", "How much memory: \"4GiB\". Default: 4GiB."},
		"env":        {"map", "Environment variables of all that runs in it."},
		"depends_on": {"any", "VMs and modules that must be ready first, as of a vm."},
		"hostname":   {"text", "Its host name. Default: the block's name."},
		"labels":     {"map", "For people and programs; the guest does not see them."},
		"networks":   {"list", "The networks that it is in: [\"${network.lan}\"]."},
	},
	"serve": {
		"command": {"list", "The server. Default: found out from the project."},
		"port":    {"number", "The guest's port that it listens on. Default: found out from the project."},
		"host":    {"any", "The host's port, or \"auto\" (the default) for a free one."},
		"path":    {"text", "The path of a URL that answers once it is up. Default: \"/\"."},
		"restart": {"flag", "Whether it is started again when files change. Default: if it does not notice itself."},
	},
	"test": {
		"command":   {"list", "The command. Default: found out from the project."},
		"artifacts": {"list", "Files and directories of the guest that are copied back."},
	},
	"agent": {
		"command": {"list", "The program. Default: the one of the block's name, or the only one that is installed."},
		"args":    {"list", "Arguments for it."},
		"auth":    {"list", "Who it may act as: [\"anthropic\", \"git\"]."},
		"egress":  {"list", "What it may reach outside: [\"api.example.com:443\"]. Default: nothing."},
		"model":   {"text", "The model that it uses."},
		"env":     {"map", "Environment variables of its own."},
		"budget":  {"text", "What it may spend."},
		"install": {"text", "The package of npm, with its exact version, that lkup dev agent install puts into its machine: npm:NAME@1.2.3."},
	},
	"port": {
		"guest":    {"number", "The guest's port."},
		"host":     {"any", "The host's port, or \"auto\" (the default) for a free one, which is kept."},
		"address":  {"text", "The host's address. Default: 127.0.0.1."},
		"protocol": {"text", "tcp (the default) or udp."},
	},
	"share": {
		"host":            {"text", "A directory of the host, relative to the project, or absolute."},
		"guest":           {"text", "Where the guest sees it."},
		"read_only":       {"flag", "Whether the guest may only read. Default: false."},
		"type":            {"text", "auto (the default): the driver chooses; 9p, virtiofs, or sync for a copy in the guest that follows the host's directory."},
		"project":         {"flag", "Whether it is a project: what git, shells, editors, agents and lkup on the host take commands from, the guest cannot change. Default: false."},
		"protect":         {"list", "Paths in it that the guest cannot change: \"*\" stands for parts of a name, \"**/\" at the beginning for any directories."},
		"allow_sensitive": {"flag", "Whether it may be a home directory, the root, or where keys or sockets are. Default: false."},
	},
	"mount": {
		"volume":    {"text", "A volume: \"${volume.data}\"."},
		"path":      {"text", "Where the guest mounts it. Default: nowhere, and it is a plain disk."},
		"read_only": {"flag", "Whether the guest may only read. Default: false."},
	},
	"seed": {
		"user":            {"text", "Who cloud-init makes, with lkup's key and the right to become root. Default: lkup."},
		"authorized_keys": {"list", "Further public keys that may log in."},
		"user_data":       {"text", "Cloud-init's user-data, joined with lkup's own: a #cloud-config, or a script."},
		"metadata":        {"any", "In the place of the others: what LinuxKit's metadata package is told, folders and the files in them."},
	},
	"ssh": {
		"user":        {"text", "Who logs in."},
		"private_key": {"text", "The file of the private key, relative to the project, or absolute."},
		"host_key":    {"text", "The guest's public host key: \"ssh-ed25519 AAAA...\"."},
	},
	"ready": {
		"tcp":     {"number", "A port of the guest that must accept connections."},
		"http":    {"text", "A URL, as seen in the guest, that must answer with 2xx or 3xx."},
		"exec":    {"list", "A command in the guest that must exit with 0."},
		"log":     {"text", "A regular expression that a line of the console must match."},
		"ssh":     {"flag", "Whether SSH must answer."},
		"timeout": {"text", "How long all this may take: \"60s\". Default: 2m."},
	},
	"health": {
		"tcp":          {"number", "A port of the guest that must accept connections."},
		"http":         {"text", "A URL, as seen in the guest, that must answer with 2xx or 3xx."},
		"exec":         {"list", "A command in the guest that must exit with 0."},
		"interval":     {"text", "How often it is probed. Default: 30s."},
		"timeout":      {"text", "How long one probe may take. Default: 10s."},
		"start_period": {"text", "For how long after the start failures do not count. Default: 0s."},
		"retries":      {"number", "How many failures in a row make it unhealthy. Default: 3."},
	},
	"lifecycle": {
		"prevent_destroy":      {"flag", "Refuse every plan that deletes or replaces it."},
		"ignore_changes":       {"any", "Attributes whose changes plan nothing, or all."},
		"replace_triggered_by": {"list", "Replace it when one of these changes."},
	},
	"watch": {
		"paths":   {"list", "Files of the project: [\"site/**\"]."},
		"ignore":  {"list", "Files to leave alone, as the lines of a .gitignore."},
		"action":  {"text", "What lkup watch does when they change: sync, restart, rebuild or exec."},
		"target":  {"text", "Of sync: the guest's directory that they are copied into."},
		"command": {"list", "Of exec: the command to run in the guest."},
	},
	"dynamic": {
		"for_each": {"any", "A list, a set or a map: a block for each."},
		"iterator": {"text", "What content calls the element. Default: the block's kind."},
	},
	"module": {
		"source":     {"text", "A directory of the project with stack files: \"./modules/web\"."},
		"for_each":   {"any", "A map or a set of strings: an instance for each."},
		"count":      {"number", "So many instances."},
		"depends_on": {"list", "VMs and modules that must be ready before any VM of the module."},
	},
	"secret": {
		"env":         {"text", "The environment variable of lkup's that holds it."},
		"file":        {"text", "The file that holds it."},
		"command":     {"list", "The command that prints it."},
		"description": {"text", "For people."},
	},
	"assert": {
		"condition":     {"flag", "What should hold of the stack."},
		"error_message": {"text", "What is wrong if it does not."},
	},
	"moved":   {"from": {"text", "The address until now."}, "to": {"text", "The new address."}},
	"removed": {"from": {"text", "An address that is no longer declared."}, "destroy": {"flag", "Whether to destroy it. Default: true; false only forgets it."}},
	"import":  {"to": {"text", "The address of a declared volume or vm."}, "from": {"text", "A disk image, or a VM's directory."}},
	"profile": {"members": {"list", "VMs and modules that run only with this profile."}},
	"output": {
		"value":       {"any", "The value."},
		"description": {"text", "For people."},
		"sensitive":   {"flag", "No screen shows the value unless it is asked for by name."},
	},
}

// kindsJSON are the JSON Schemas of the kinds of argument.
var kindsJSON = map[string]any{
	"text":   map[string]any{"type": "string"},
	"texts":  map[string]any{"type": []string{"string", "array"}, "items": map[string]any{"type": "string"}},
	"number": map[string]any{"type": []string{"number", "string"}},
	"flag":   map[string]any{"type": []string{"boolean", "string"}},
	"list":   map[string]any{"type": []string{"array", "string"}},
	"map":    map[string]any{"type": []string{"object", "string"}},
	"any":    map[string]any{},
}

// JSONSchema is the JSON Schema (2020-12) of stack files in JSON syntax.
func JSONSchema() map[string]any {
	defs := map[string]any{}
	s := schemaOf(fileSchema, defs)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "lkup stack file"
	s["$defs"] = defs
	return s
}

// schemaOf is the schema of the inside of a block.
func schemaOf(s *schema, defs map[string]any) map[string]any {
	properties := map[string]any{"//": map[string]any{"description": "A comment."}}
	for _, name := range s.arguments() {
		a := arguments[s.key()][name]
		one := maps.Clone(kindsJSON[a.kind].(map[string]any))
		one["description"] = a.text
		properties[name] = one
	}
	for _, b := range s.blocks {
		if b == dynamicSchema {
			properties["dynamic"] = dynamicJSON(s, defs)
			continue
		}
		properties[b.kind] = blocksJSON(b, defs)
	}
	out := map[string]any{"type": "object", "properties": properties, "additionalProperties": s.open}
	if len(s.required) > 0 {
		out["required"] = slices.Sorted(maps.Keys(s.required))
	}
	return out
}

// define puts the inside of a block among the definitions, once, and refers to it.
func define(s *schema, defs map[string]any) map[string]any {
	if defs[s.key()] == nil {
		defs[s.key()] = true // a block inside itself ends here
		defs[s.key()] = schemaOf(s, defs)
	}
	return map[string]any{"$ref": "#/$defs/" + s.key()}
}

// blocksJSON is the schema of all blocks of a kind: one, or an array, and by
// name where they have one.
func blocksJSON(s *schema, defs map[string]any) map[string]any {
	many := oneOrMany(define(s, defs))
	if !s.labelled {
		return many
	}
	return oneOrMany(map[string]any{"type": "object", "additionalProperties": many})
}

func oneOrMany(one map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{one, map[string]any{"type": "array", "items": one}}}
}

// dynamicJSON is the schema of dynamic blocks, by the kind that they repeat.
func dynamicJSON(s *schema, defs map[string]any) map[string]any {
	properties := map[string]any{}
	for _, b := range s.blocks {
		if b == dynamicSchema {
			continue
		}
		one := schemaOf(dynamicSchema, defs)
		one["properties"].(map[string]any)["content"] = define(b, defs)
		one["required"] = []string{"content", "for_each"}
		properties[b.kind] = oneOrMany(one)
	}
	return map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
}
