package linuxkit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"go.yaml.in/yaml/v3"
)

// template is a LinuxKit YAML file, read and checked. Its JSON form decides
// the image's digest, so positions are no part of it.
type template struct {
	At         Position    `json:"-"`
	Kernel     *kernel     `json:"kernel"`
	Init       []ref       `json:"init"`
	Onboot     []container `json:"onboot"`
	Onshutdown []container `json:"onshutdown"`
	Services   []container `json:"services"`
	Volumes    []volume    `json:"volumes"`
	Files      []file      `json:"files"`
	Trust      *trust      `json:"trust"`
}

type kernel struct {
	At      Position `json:"-"`
	Image   ref      `json:"image"`
	Cmdline *string  `json:"cmdline"`
	Binary  string   `json:"binary"` // "kernel" if empty
	Tar     *string  `json:"tar"`    // "kernel.tar" if not given; "none" or empty: no modules
	UCode   string   `json:"ucode"`  // microcode, in a cpio archive; may be missing in the image
}

// volume is files that containers share, writable until the machine ends.
type volume struct {
	At        Position  `json:"-"`
	Name      string    `json:"name"`
	Image     ref       `json:"image"`
	ReadOnly  bool      `json:"readonly"`
	Format    string    `json:"format"`    // "filesystem" if empty, or "oci"
	Platforms *[]string `json:"platforms"` // of an oci volume: "linux/amd64"
}

// container is an entry of onboot, onshutdown or services.
type container struct {
	At    Position `json:"-"`
	Name  string   `json:"name"`
	Image ref      `json:"image"`
	settings
}

// settings are the fields that a template and a component's label share. A
// nil pointer or an empty string is not given.
type settings struct {
	Capabilities      *[]string               `json:"capabilities"`
	CapabilitiesAdd   *[]string               `json:"capabilities.add"`
	Ambient           *[]string               `json:"ambient"`
	Mounts            *[]specs.Mount          `json:"mounts"`
	Binds             *[]string               `json:"binds"`
	BindsAdd          *[]string               `json:"binds.add"`
	Tmpfs             *[]string               `json:"tmpfs"`
	Command           *[]string               `json:"command"`
	Env               *[]string               `json:"env"`
	Cwd               string                  `json:"cwd"`
	Net               string                  `json:"net"`
	Pid               string                  `json:"pid"`
	Ipc               string                  `json:"ipc"`
	Uts               string                  `json:"uts"`
	Userns            string                  `json:"userns"`
	Hostname          string                  `json:"hostname"`
	Readonly          *bool                   `json:"readonly"`
	MaskedPaths       *[]string               `json:"maskedPaths"`
	ReadonlyPaths     *[]string               `json:"readonlyPaths"`
	UID               *identity               `json:"uid"`
	GID               *identity               `json:"gid"`
	AdditionalGids    *[]identity             `json:"additionalGids"`
	NoNewPrivileges   *bool                   `json:"noNewPrivileges"`
	OOMScoreAdj       *int                    `json:"oomScoreAdj"`
	RootfsPropagation *string                 `json:"rootfsPropagation"`
	CgroupsPath       *string                 `json:"cgroupsPath"`
	Resources         *specs.LinuxResources   `json:"resources"`
	Sysctl            *map[string]string      `json:"sysctl"`
	Rlimits           *[]string               `json:"rlimits"`
	UIDMappings       *[]specs.LinuxIDMapping `json:"uidMappings"`
	GIDMappings       *[]specs.LinuxIDMapping `json:"gidMappings"`
	Annotations       *map[string]string      `json:"annotations"`
	Devices           *[]device               `json:"devices"`
	Runtime           *runtime                `json:"runtime"`
}

type device struct {
	At    Position `json:"-"`
	Path  string   `json:"path"` // or "all"
	Type  string   `json:"type"`
	Major int64    `json:"major"`
	Minor int64    `json:"minor"`
	Mode  string   `json:"mode"` // octal
}

// runtime is what init does around a container.
type runtime struct {
	Cgroups    *[]string      `json:"cgroups"`
	Mounts     *[]specs.Mount `json:"mounts"`
	Mkdir      *[]string      `json:"mkdir"`
	Interfaces *[]netdev      `json:"interfaces"`
	BindNS     bindNS         `json:"bindNS"`
	Namespace  *string        `json:"namespace"`
}

type netdev struct {
	Name         string `json:"name,omitempty" yaml:"name,omitempty"`
	Add          string `json:"add,omitempty" yaml:"add,omitempty"`
	Peer         string `json:"peer,omitempty" yaml:"peer,omitempty"`
	CreateInRoot bool   `json:"createInRoot" yaml:"createInRoot"`
}

// bindNS are the paths at which a container's namespaces stay reachable.
type bindNS struct {
	Cgroup *string `json:"cgroup,omitempty" yaml:"cgroup,omitempty"`
	Ipc    *string `json:"ipc,omitempty" yaml:"ipc,omitempty"`
	Mnt    *string `json:"mnt,omitempty" yaml:"mnt,omitempty"`
	Net    *string `json:"net,omitempty" yaml:"net,omitempty"`
	Pid    *string `json:"pid,omitempty" yaml:"pid,omitempty"`
	User   *string `json:"user,omitempty" yaml:"user,omitempty"`
	Uts    *string `json:"uts,omitempty" yaml:"uts,omitempty"`
}

type file struct {
	At        Position  `json:"-"`
	Path      string    `json:"path"`
	Directory bool      `json:"directory"`
	Symlink   string    `json:"symlink"`
	Contents  *string   `json:"contents"`
	Source    string    `json:"source"`
	Optional  bool      `json:"optional"`
	Metadata  string    `json:"metadata"` // "yaml" or "json": the template itself
	Mode      string    `json:"mode"`     // octal
	UID       *identity `json:"uid"`
	GID       *identity `json:"gid"`
}

// ref is an image with the place where it is written.
type ref struct {
	At   Position
	Text string
}

func (r *ref) decodeNode(d *decoder, node *yaml.Node, where string) {
	r.At = d.at(node)
	d.decodeScalar(node, reflect.ValueOf(&r.Text).Elem(), where)
	if strings.HasPrefix(r.Text, "@pkg:") {
		d.mistake(node, "%s: %q stands for a package in LinuxKit's own source tree; write the ref of the image built from it", where, r.Text)
	}
}

// MarshalJSON leaves the place out.
func (r ref) MarshalJSON() ([]byte, error) { return json.Marshal(r.Text) }

// identity is a user or group: a number, or the name of a container, which
// stands for the number that it gets.
type identity struct {
	At   Position
	Text string
}

func (i *identity) decodeNode(d *decoder, node *yaml.Node, where string) {
	i.At = d.at(node)
	if node.Kind != yaml.ScalarNode || node.Tag != "!!int" && node.Tag != "!!str" {
		d.mistake(node, "%s: expected a number or the name of a container, found %s", where, describe(node))
		return
	}
	i.Text, _ = d.expand(node)
}

// MarshalJSON leaves the place out.
func (i identity) MarshalJSON() ([]byte, error) { return json.Marshal(i.Text) }

// trust is accepted and ignored, as LinuxKit does.
type trust struct {
	Image *[]string `json:"image"`
	Org   *[]string `json:"org"`
}

// parse reads a template. name is the file's name in mistakes. partial says
// that no machine need start from it. Its error is a [Mistakes].
func parse(name string, content []byte, vars map[string]string, partial bool) (*template, error) {
	d := newDecoder(name, vars)
	var t template
	if node := d.document(content); node != nil {
		d.decode(node, reflect.ValueOf(&t).Elem(), root)
		d.check(&t)
		if !partial && t.At.Line > 0 {
			d.mistakes = append(d.mistakes, t.missing(d.places)...)
		}
	}
	if len(d.mistakes) == 0 {
		d.unusedVars()
	}
	if len(d.mistakes) > 0 {
		return nil, d.mistakes.sorted()
	}
	return &t, nil
}

// document is the root of the first document; LinuxKit reads no other.
func (d *decoder) document(content []byte) *yaml.Node {
	var document yaml.Node
	err := yaml.NewDecoder(strings.NewReader(string(content))).Decode(&document)
	switch {
	case errors.Is(err, io.EOF) || err == nil && len(document.Content) == 0:
		d.mistakes = append(d.mistakes, Mistake{Position{d.file, 1, 1}, "the template is empty"})
		return nil
	case err != nil:
		d.mistakes = append(d.mistakes, syntaxMistake(d.file, err))
		return nil
	}
	if err := checkSize(document.Content[0]); err != nil {
		d.mistakes = append(d.mistakes, Mistake{Position{d.file, 1, 1}, "the template is too large: " + err.Error()})
		return nil
	}
	return document.Content[0]
}

var yamlLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
})

// syntaxMistake takes the line out of the YAML library's message, which is
// the only place where it stands.
func syntaxMistake(file string, err error) Mistake {
	line, text := 1, err.Error()
	if match := yamlLine().FindStringSubmatch(text); match != nil {
		text = match[2]
		if n, err := strconv.Atoi(match[1]); err == nil {
			line = n
		}
	}
	return Mistake{Position{file, line, 1}, fmt.Sprintf("not YAML: %s", text)}
}
