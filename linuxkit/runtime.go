package linuxkit

import (
	"encoding/json"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// runtimeJSON is the container's runtime.json: what init does before it
// starts the container. mounts go before the user's.
func runtimeJSON(r runtime, mounts []specs.Mount) ([]byte, error) {
	type fields struct { // the order is LinuxKit's
		Cgroups    []string      `json:"cgroups"`
		Mounts     []specs.Mount `json:"mounts"`
		Mkdir      []string      `json:"mkdir"`
		Interfaces []netdev      `json:"interfaces"`
		BindNS     bindNS        `json:"bindNS"`
		Namespace  string        `json:"namespace"`
	}
	var namespace string
	if r.Namespace != nil {
		namespace = *r.Namespace
	}
	return json.MarshalIndent(fields{
		Cgroups:    append([]string{}, given(r.Cgroups)...),
		Mounts:     append(mounts, given(r.Mounts)...),
		Mkdir:      append([]string{}, given(r.Mkdir)...),
		Interfaces: append([]netdev{}, given(r.Interfaces)...),
		BindNS:     r.BindNS.whole(),
		Namespace:  namespace,
	}, "", "    ")
}

// rootMounts put together the root of a container at dir, a path in the guest
// without its slash. image is where the files of its image lie; it is
// another container's if both have one image.
func rootMounts(dir, image string, readonly bool) []specs.Mount {
	if readonly {
		return []specs.Mount{{Source: "/" + image, Destination: "/" + dir + "/rootfs", Options: []string{"bind"}}}
	}
	tmp := "/" + dir + "/tmp"
	return []specs.Mount{
		{Source: "tmpfs", Destination: tmp, Type: "tmpfs"},
		// Nothing else should see the layers.
		{Destination: tmp, Options: []string{"remount", "private"}},
		{Source: "overlay", Destination: "/" + dir + "/rootfs", Type: "overlay", Options: []string{
			"lowerdir=/" + image, "upperdir=" + tmp + "/upper", "workdir=" + tmp + "/work",
		}},
	}
}

// whole has all seven members: LinuxKit writes "" for those not given.
func (b bindNS) whole() bindNS {
	none := ""
	for _, member := range []**string{&b.Cgroup, &b.Ipc, &b.Mnt, &b.Net, &b.Pid, &b.User, &b.Uts} {
		if *member == nil {
			*member = &none
		}
	}
	return b
}
