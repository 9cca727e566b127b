package spec

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// devenvCacheEnv points programs to the cache that otherwise keep what they
// downloaded elsewhere.
func devenvCacheEnv() map[string]string {
	return map[string]string{
		"GOMODCACHE":            devenvCache + "/go-mod",
		"npm_config_cache":      devenvCache + "/npm",
		"npm_config_store_dir":  devenvCache + "/pnpm",
		"BUN_INSTALL_CACHE_DIR": devenvCache + "/bun",
		"CARGO_HOME":            devenvCache + "/cargo",
		"COMPOSER_CACHE_DIR":    devenvCache + "/composer",
		"BUNDLE_USER_HOME":      devenvCache + "/bundle",
	}
}

// caches makes a volume of each directory that is to survive the machine.
func (i *instance) caches(size int) {
	b := i.node.block
	paths := []string{devenvCache}
	at := b.at
	if arg := b.args["caches"]; arg != nil {
		paths, at = i.plainWords(b, "caches"), arg.at
	}
	for _, p := range paths {
		if detail := badMountPath(p); detail != "" {
			i.wrong(b, "caches", "Invalid path", "%s", detail)
			continue
		}
		i.cache(p, size, at)
	}
	if slices.Contains(paths, devenvCache) {
		i.cacheEnv(at)
	}
}

// dockerVolume keeps images and containers, unless something is mounted there.
func (i *instance) dockerVolume(size int, at hcl.Range) {
	if slices.ContainsFunc(i.vm.Mounts, func(m Mount) bool { return m.Path == dockerData }) {
		return
	}
	i.cache(dockerData, size, at)
}

// cacheSize is how much each cache holds, in MiB.
func (i *instance) cacheSize() int {
	if i.node.block.args["cache_size"] == nil {
		return devenvCacheSize
	}
	f := &fields{evaluator: i.evaluator, node: i.node, ctx: i.ctx}
	size := f.size(i.node.block, "cache_size", LeastFileSystem)
	i.failed = i.failed || f.failed
	return size
}

func (i *instance) cache(p string, size int, at hcl.Range) {
	name := offer(identifier(p), "cache")
	v := Volume{Address: i.address + ".volume." + Address(name), Name: hostLabel(i.node.name + "-" + name), Size: size, Format: "raw", Origin: position(at)}
	m := Mount{Volume: v.Address, Path: p, Size: size}
	clash := slices.ContainsFunc(i.vm.Mounts, func(o Mount) bool { return o.Path == p || o.Volume == m.Volume }) ||
		slices.ContainsFunc(i.vm.Shares, func(s Share) bool { return s.Guest == p })
	if clash {
		i.failed = true
		i.fail(at, "Duplicate cache", "%s has something at %s already, or a cache of nearly that name. Take it out of caches.", i.address, p)
		return
	}
	i.stack.Volumes[v.Address] = v
	i.origin(m.Attribute(), at)
	i.vm.Mounts = append(i.vm.Mounts, m)
}

// cacheEnv adds the variables that the user has not set otherwise.
func (i *instance) cacheEnv(at hcl.Range) {
	if slices.Contains(i.vm.Unknown, "env") {
		return
	}
	all := devenvCacheEnv()
	for _, name := range sortedKeys(all) {
		if _, given := i.vm.Origins["env."+name]; given {
			continue
		}
		if i.vm.Env == nil {
			i.vm.Env = map[string]string{}
		}
		i.vm.Env[name] = all[name]
		i.origin("env."+name, at)
	}
}
