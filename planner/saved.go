package planner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lkup/lkup/spec"
)

// SavedFormat is the format of saved plans that this program writes. It
// refuses to read any other.
const SavedFormat = 1

// Saved is a plan in a file, with all that it rests on, so that whoever
// executes it later can tell whether any of that has moved. It holds sensitive
// values: its file is as private as the state.
type Saved struct {
	FormatVersion int    `json:"format_version"` // set by Encode
	Version       string `json:"lkup_version"`   // of the lkup that made it
	Stack         string `json:"stack"`          // name
	StackID       string `json:"stack_id"`
	Project       string `json:"project"` // absolute path of the stack's directory
	// Lineage and Serial are those of the state it was planned against.
	Lineage string `json:"lineage"`
	Serial  int64  `json:"serial"`
	// Files are the SHA-256 of the files that the evaluation read, in hex, by
	// path relative to the project.
	Files map[string]string `json:"files"`
	// Images are the images that the plan's VMs are made from; their digests
	// stand in the steps.
	Images map[spec.Address]spec.Image `json:"images"`
	// Volumes are those that they mount, and Sources what their values are
	// made from.
	Volumes map[spec.Address]spec.Volume `json:"volumes,omitempty"`
	Sources map[string]spec.Fingerprint  `json:"sources,omitempty"`
	// Recipes identify, by image, what the user decides of it.
	Recipes map[spec.Address]string `json:"recipes,omitempty"`
	Plan    Plan                    `json:"plan"`
}

// Encode gives the content of a saved plan's file. The same plan gives the
// same bytes.
func Encode(s Saved) ([]byte, error) {
	s.FormatVersion = SavedFormat
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(s); err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	return b.Bytes(), nil
}

// Decode reads the content of a saved plan's file. What it returns can be
// executed: its ops are sound, whoever wrote the file.
func Decode(content []byte) (Saved, error) {
	var header struct {
		FormatVersion int    `json:"format_version"`
		Version       string `json:"lkup_version"`
	}
	if err := json.Unmarshal(content, &header); err != nil {
		return Saved{}, errors.New("it is no saved plan; make one with: lkup plan --out FILE")
	}
	switch {
	case header.FormatVersion > SavedFormat:
		return Saved{}, fmt.Errorf("it was made by lkup %s in format %d, and this lkup reads format %d; make it anew with: lkup plan --out FILE",
			header.Version, header.FormatVersion, SavedFormat)
	case header.FormatVersion != SavedFormat:
		return Saved{}, errors.New("it is no saved plan; make one with: lkup plan --out FILE")
	}
	var s Saved
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields() // what this lkup does not know, it would not do
	if err := d.Decode(&s); err != nil {
		return Saved{}, fmt.Errorf("decode the plan: %w", err)
	}
	if err := s.Plan.check(); err != nil {
		return Saved{}, fmt.Errorf("the plan is damaged: %w; make it anew with: lkup plan --out FILE", err)
	}
	return s, nil
}

// check reports what an executor could trip over.
func (p *Plan) check() error {
	for _, s := range p.Steps {
		if err := s.check(); err != nil {
			return err
		}
	}
	for at, op := range p.Ops {
		if op.Step < 0 || op.Step >= len(p.Steps) {
			return fmt.Errorf("op %d belongs to step %d, which is not there", at, op.Step)
		}
		for _, before := range op.After {
			if before < 0 || before >= at {
				return fmt.Errorf("op %d waits for op %d, which does not come before it", at, before)
			}
		}
		if err := p.Steps[op.Step].allows(op.Phase); err != nil {
			return fmt.Errorf("op %d: %w", at, err)
		}
	}
	return nil
}

func (s Step) check() error {
	switch s.Action {
	case NoOp:
		return nil
	case Create, Start, Update, Restart, Replace, Stop:
		if s.Want == nil {
			return fmt.Errorf("%s shall %s and says not what it shall be", s.Address, s.Action)
		}
		if s.Want.Address != s.Address {
			return fmt.Errorf("%s shall become %s", s.Address, s.Want.Address)
		}
	case Delete, Forget:
		if s.Want != nil {
			return fmt.Errorf("%s shall go and says what it shall be", s.Address)
		}
	default:
		return fmt.Errorf("%s has the unknown action %q", s.Address, s.Action)
	}
	if s.ID == "" && s.Action != Create {
		return fmt.Errorf("%s shall %s and has no ID", s.Address, s.Action)
	}
	return nil
}

// allows reports whether the phase is a half of the step's action.
func (s Step) allows(phase Phase) error {
	if !s.has(phase) {
		return fmt.Errorf("%s has no phase %q in its %s", s.Address, phase, s.Action)
	}
	return nil
}
