package state

import (
	"encoding/json"
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// file is state.json. A plan reads all of it, so what many instances have in
// common stands in it once. Format 1 had every instance whole, as manifests
// still do; it is read as what it is: a file whose instances share nothing.
type file struct {
	State
	Instances entries `json:"instances"`
	// Made is what instances were made from, by the name that entries give.
	Made map[string]made `json:"made,omitempty"`
}

// entries are instances in the file. They are written from one map and read
// into another, one by one, so that thousands need not be there twice.
type entries struct {
	written map[spec.Address]entry
	read    map[spec.Address]Instance
	made    map[spec.Address]string // what is still to be said of those read
}

// MarshalJSON implements [json.Marshaler].
func (e entries) MarshalJSON() ([]byte, error) { return json.Marshal(e.written) }

// UnmarshalJSONFrom implements the decoder's own interface for values that read
// themselves.
func (e *entries) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	open, err := d.ReadToken()
	if err != nil || open.Kind() == 'n' {
		return err
	}
	if open.Kind() != '{' {
		return errors.New("the instances are no object")
	}
	e.read, e.made = map[spec.Address]Instance{}, map[spec.Address]string{}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		address := spec.Address(name.String()) // before the token is overwritten
		var one entry
		if err := jsonv2.UnmarshalDecode(d, &one); err != nil {
			return err
		}
		if one.Made == "" {
			one.own().describe(&one.Instance)
		} else {
			e.made[address] = one.Made
		}
		e.read[address] = one.Instance
	}
	_, err = d.ReadToken()
	return err
}

// entry is an instance without what the file says elsewhere.
type entry struct {
	Instance
	FormatVersion int            `json:"format_version,omitempty"`
	Address       spec.Address   `json:"address,omitempty"`
	Stack         string         `json:"stack,omitempty"`
	Project       string         `json:"project,omitempty"`
	Lineage       string         `json:"lineage,omitempty"`
	Image         *spec.Image    `json:"image,omitempty"`
	Digest        sources.Digest `json:"digest,omitempty"`
	Recipe        string         `json:"recipe,omitempty"`
	Driver        string         `json:"driver,omitempty"`
	Arch          string         `json:"arch,omitempty"`
	Boot          *drivers.Boot  `json:"boot,omitempty"`
	Guest         bool           `json:"guest,omitempty"`
	Made          string         `json:"made,omitempty"`
}

// made is what instances of one image have in common.
type made struct {
	Image  spec.Image     `json:"image"`
	Digest sources.Digest `json:"digest"`
	Recipe string         `json:"recipe,omitempty"`
	Driver string         `json:"driver"`
	Arch   string         `json:"arch"`
	Boot   drivers.Boot   `json:"boot"`
	Guest  bool           `json:"guest"`
}

// encode is the text of state.json.
func encode(s State) ([]byte, error) {
	f := file{State: s, Instances: entries{written: make(map[spec.Address]entry, len(s.Instances))}, Made: map[string]made{}}
	f.FormatVersion = FormatVersion
	for address, i := range s.Instances {
		common := made{i.Image, i.Digest, i.Recipe, i.Driver, i.Arch, i.Boot, i.Guest}
		text, err := json.Marshal(common)
		if err != nil {
			return nil, err
		}
		name := sum(text)[:16]
		f.Made[name] = common
		f.Instances.written[address] = entry{Instance: i, Made: name}
	}
	content, err := json.MarshalIndent(f, "", "  ")
	return append(content, '\n'), err
}

// decode reads a state. The decoder is the mirror of the standard library's
// next one, with the meaning of this one: a state of many machines is most of
// what a plan reads.
func decode(path string, content []byte) (State, error) {
	var f file
	err := jsonv1.Unmarshal(content, &f)
	if err == nil && f.FormatVersion >= 1 && f.FormatVersion <= FormatVersion {
		return f.state(), nil
	}
	var head struct {
		FormatVersion int `json:"format_version"`
	}
	if json.Unmarshal(content, &head) == nil && head.FormatVersion > FormatVersion {
		return State{}, fmt.Errorf("the state %s was written by a newer lkup (format %d, this one knows %d); update lkup", path, head.FormatVersion, FormatVersion)
	}
	detail := ""
	if err != nil && head.FormatVersion >= 1 {
		detail = fmt.Sprintf(" (%s)", err)
	}
	return State{}, fmt.Errorf("the state %s is damaged%s; to make it anew from what the machines say of themselves, type: lkup state rebuild (the one before it is %s.backup)", path, detail, path)
}

// state gives every instance what the file says of it elsewhere.
func (f *file) state() State {
	s := f.State
	s.Instances = f.Instances.read
	for address, i := range s.Instances {
		i.FormatVersion, i.Address, i.Stack, i.Project, i.Lineage = recordFormat, address, f.Stack, f.Project, f.Lineage
		if common, known := f.Made[f.Instances.made[address]]; known {
			common.describe(&i)
		}
		s.Instances[address] = i
	}
	return s
}

// own is what an entry of format 1 says by itself.
func (e entry) own() made {
	m := made{Digest: e.Digest, Recipe: e.Recipe, Driver: e.Driver, Arch: e.Arch, Guest: e.Guest}
	if e.Image != nil {
		m.Image = *e.Image
	}
	if e.Boot != nil {
		m.Boot = *e.Boot
	}
	return m
}

func (m made) describe(i *Instance) {
	i.Image, i.Digest, i.Recipe, i.Driver, i.Arch, i.Boot, i.Guest = m.Image, m.Digest, m.Recipe, m.Driver, m.Arch, m.Boot, m.Guest
}
