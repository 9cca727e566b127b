package linuxkit

import (
	"encoding/json"
	"reflect"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"go.yaml.in/yaml/v2"
)

// metadata is the template as LinuxKit writes it into a file of the guest:
// with the names and in the order of its own types, its variables replaced,
// refs expanded. version 2 of the YAML library gives the bytes that LinuxKit's gives.
func (t *template) metadata(kind string) ([]byte, error) {
	m := t.described()
	if kind == "json" {
		return json.MarshalIndent(m, "", "    ")
	}
	return yaml.Marshal(m)
}

// The types below have the fields of LinuxKit's moby/config.go, in its order.
type (
	describedTemplate struct {
		Kernel     describedKernel      `json:"kernel"`
		Init       []string             `json:"init"`
		Onboot     []describedContainer `json:"onboot"`
		Onshutdown []describedContainer `json:"onshutdown"`
		Services   []describedContainer `json:"services"`
		Files      []describedFile      `json:"files"`
		Volumes    []describedVolume    `json:"volumes"`
	}
	describedKernel struct {
		Image   string  `json:"image"`
		Cmdline string  `yaml:",omitempty" json:"cmdline,omitempty"`
		Binary  string  `yaml:",omitempty" json:"binary,omitempty"`
		Tar     *string `yaml:",omitempty" json:"tar,omitempty"`
		UCode   *string `yaml:",omitempty" json:"ucode,omitempty"`
	}
	describedFile struct {
		Path      string  `json:"path"`
		Directory bool    `json:"directory"`
		Symlink   string  `yaml:",omitempty" json:"symlink,omitempty"`
		Contents  *string `yaml:",omitempty" json:"contents,omitempty"`
		Source    string  `yaml:",omitempty" json:"source,omitempty"`
		Metadata  string  `yaml:",omitempty" json:"metadata,omitempty"`
		Optional  bool    `json:"optional"`
		Mode      string  `yaml:",omitempty" json:"mode,omitempty"`
		UID       any     `yaml:",omitempty" json:"uid,omitempty"`
		GID       any     `yaml:",omitempty" json:"gid,omitempty"`
	}
	describedVolume struct {
		Name      string   `json:"name"`
		Image     string   `yaml:",omitempty" json:"image,omitempty"`
		ReadOnly  bool     `yaml:",omitempty" json:"readonly,omitempty"`
		Format    string   `yaml:",omitempty" json:"format,omitempty"`
		Platforms []string `yaml:",omitempty" json:"platforms,omitempty"`
	}
	describedContainer struct {
		Name              string `json:"name"`
		Image             string `json:"image"`
		describedSettings `yaml:",inline"`
	}
	describedSettings struct {
		Capabilities      *[]string               `yaml:"capabilities,omitempty" json:"capabilities,omitempty"`
		CapabilitiesAdd   *[]string               `yaml:"capabilities.add,omitempty" json:"capabilities.add,omitempty"`
		Ambient           *[]string               `yaml:"ambient,omitempty" json:"ambient,omitempty"`
		Mounts            *[]specs.Mount          `yaml:"mounts,omitempty" json:"mounts,omitempty"`
		Binds             *[]string               `yaml:"binds,omitempty" json:"binds,omitempty"`
		BindsAdd          *[]string               `yaml:"binds.add,omitempty" json:"binds.add,omitempty"`
		Devices           *[]describedDevice      `yaml:"devices,omitempty" json:"devices,omitempty"`
		Tmpfs             *[]string               `yaml:"tmpfs,omitempty" json:"tmpfs,omitempty"`
		Command           *[]string               `yaml:"command,omitempty" json:"command,omitempty"`
		Env               *[]string               `yaml:"env,omitempty" json:"env,omitempty"`
		Cwd               string                  `yaml:"cwd,omitempty" json:"cwd,omitempty"`
		Net               string                  `yaml:"net,omitempty" json:"net,omitempty"`
		Pid               string                  `yaml:"pid,omitempty" json:"pid,omitempty"`
		Ipc               string                  `yaml:"ipc,omitempty" json:"ipc,omitempty"`
		Uts               string                  `yaml:"uts,omitempty" json:"uts,omitempty"`
		Userns            string                  `yaml:"userns,omitempty" json:"userns,omitempty"`
		Hostname          string                  `yaml:"hostname,omitempty" json:"hostname,omitempty"`
		Readonly          *bool                   `yaml:"readonly,omitempty" json:"readonly,omitempty"`
		MaskedPaths       *[]string               `yaml:"maskedPaths,omitempty" json:"maskedPaths,omitempty"`
		ReadonlyPaths     *[]string               `yaml:"readonlyPaths,omitempty" json:"readonlyPaths,omitempty"`
		UID               *any                    `yaml:"uid,omitempty" json:"uid,omitempty"`
		GID               *any                    `yaml:"gid,omitempty" json:"gid,omitempty"`
		AdditionalGids    *[]any                  `yaml:"additionalGids,omitempty" json:"additionalGids,omitempty"`
		NoNewPrivileges   *bool                   `yaml:"noNewPrivileges,omitempty" json:"noNewPrivileges,omitempty"`
		OOMScoreAdj       *int                    `yaml:"oomScoreAdj,omitempty" json:"oomScoreAdj,omitempty"`
		RootfsPropagation *string                 `yaml:"rootfsPropagation,omitempty" json:"rootfsPropagation,omitempty"`
		CgroupsPath       *string                 `yaml:"cgroupsPath,omitempty" json:"cgroupsPath,omitempty"`
		Resources         *specs.LinuxResources   `yaml:"resources,omitempty" json:"resources,omitempty"`
		Sysctl            *map[string]string      `yaml:"sysctl,omitempty" json:"sysctl,omitempty"`
		Rlimits           *[]string               `yaml:"rlimits,omitempty" json:"rlimits,omitempty"`
		UIDMappings       *[]specs.LinuxIDMapping `yaml:"uidMappings,omitempty" json:"uidMappings,omitempty"`
		GIDMappings       *[]specs.LinuxIDMapping `yaml:"gidMappings,omitempty" json:"gidMappings,omitempty"`
		Annotations       *map[string]string      `yaml:"annotations,omitempty" json:"annotations,omitempty"`
		Runtime           *describedRuntime       `yaml:"runtime,omitempty" json:"runtime,omitempty"`
	}
	describedDevice struct {
		Path  string `json:"path"`
		Type  string `json:"type"`
		Major int64  `json:"major"`
		Minor int64  `json:"minor"`
		Mode  string `yaml:",omitempty" json:"mode,omitempty"`
	}
	describedRuntime struct {
		Cgroups    *[]string      `yaml:"cgroups,omitempty" json:"cgroups,omitempty"`
		Mounts     *[]specs.Mount `yaml:"mounts,omitempty" json:"mounts,omitempty"`
		Mkdir      *[]string      `yaml:"mkdir,omitempty" json:"mkdir,omitempty"`
		Interfaces *[]netdev      `yaml:"interfaces,omitempty" json:"interfaces,omitempty"`
		BindNS     bindNS         `yaml:"bindNS,omitempty" json:"bindNS"`
		Namespace  *string        `yaml:"namespace,omitempty" json:"namespace,omitempty"`
	}
)

func (t *template) described() describedTemplate {
	var m describedTemplate
	if k := t.Kernel; k != nil {
		m.Kernel = describedKernel{Binary: k.Binary, Tar: k.Tar}
		if k.Image.Text != "" {
			m.Kernel.Image = expandedRef(k.Image.Text)
		}
		if k.Cmdline != nil {
			m.Kernel.Cmdline = *k.Cmdline
		}
		if k.UCode != "" {
			m.Kernel.UCode = &k.UCode
		}
	}
	for _, r := range t.Init {
		m.Init = append(m.Init, expandedRef(r.Text))
	}
	m.Onboot, m.Onshutdown, m.Services = describedAll(t.Onboot), describedAll(t.Onshutdown), describedAll(t.Services)
	for _, f := range t.Files {
		m.Files = append(m.Files, describedFile{
			Path: f.Path, Directory: f.Directory, Symlink: f.Symlink, Contents: f.Contents, Source: f.Source,
			Metadata: f.Metadata, Optional: f.Optional, Mode: f.Mode, UID: f.UID.plain(), GID: f.GID.plain(),
		})
	}
	for _, v := range t.Volumes {
		m.Volumes = append(m.Volumes, describedVolume{v.Name, v.Image.Text, v.ReadOnly, v.Format, given(v.Platforms)})
	}
	return m
}

func describedAll(list []container) []describedContainer {
	var all []describedContainer
	for _, c := range list {
		d := describedContainer{Name: c.Name, Image: expandedRef(c.Image.Text)}
		copyFields(reflect.ValueOf(&d.describedSettings).Elem(), reflect.ValueOf(c.settings))
		if c.UID != nil {
			uid := c.UID.plain()
			d.UID = &uid
		}
		if c.GID != nil {
			gid := c.GID.plain()
			d.GID = &gid
		}
		if c.AdditionalGids != nil {
			ids := []any{}
			for _, id := range *c.AdditionalGids {
				ids = append(ids, id.plain())
			}
			d.AdditionalGids = &ids
		}
		if c.Devices != nil {
			devices := []describedDevice{}
			for _, dev := range *c.Devices {
				devices = append(devices, describedDevice{dev.Path, dev.Type, dev.Major, dev.Minor, dev.Mode})
			}
			d.Devices = &devices
		}
		if c.Runtime != nil {
			d.Runtime = &describedRuntime{}
			copyFields(reflect.ValueOf(d.Runtime).Elem(), reflect.ValueOf(*c.Runtime))
		}
		all = append(all, d)
	}
	return all
}

// copyFields copies what has the same name and type.
func copyFields(into, from reflect.Value) {
	for i := range into.NumField() {
		name := into.Type().Field(i).Name
		if value := from.FieldByName(name); value.IsValid() && value.Type() == into.Field(i).Type() {
			into.Field(i).Set(value)
		}
	}
}

// plain is an identity as it was written: a number or a name, nil for none.
func (i *identity) plain() any {
	if i == nil {
		return nil
	}
	if n, err := strconv.Atoi(i.Text); err == nil {
		return n
	}
	return i.Text
}
