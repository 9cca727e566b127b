package planner

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/lkup/lkup/spec"
)

// SavedFormat is the newest format of saved plans that Decode reads.
const SavedFormat = 1

// Saved is a plan on its way from `plan --out` to `apply`, with what it rests on.
type Saved struct {
	FormatVersion int                         `json:"format_version"`
	Version       string                      `json:"lkup_version"`
	Stack         string                      `json:"stack"`
	StackID       string                      `json:"stack_id"`
	Project       string                      `json:"project"` // absolute directory
	Lineage       string                      `json:"lineage"` // of the state
	Serial        int64                       `json:"serial"`
	Files         map[string]string           `json:"files"` // path in the project -> sha256, hex
	Images        map[spec.Address]spec.Image `json:"images"`
	Plan          Plan                        `json:"plan"`
}

// Encode writes a saved plan. It always uses the newest format.
func Encode(s Saved) ([]byte, error) {
	s.FormatVersion = SavedFormat
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	return append(content, '\n'), nil
}

// Decode reads what Encode wrote and refuses anything else.
func Decode(content []byte) (Saved, error) {
	var head struct {
		FormatVersion int    `json:"format_version"`
		Version       string `json:"lkup_version"`
	}
	if err := json.Unmarshal(content, &head); err != nil || head.FormatVersion < 1 {
		return Saved{}, fmt.Errorf("this is no saved plan of lkup; make one with: lkup plan --out FILE")
	}
	if head.FormatVersion > SavedFormat {
		return Saved{}, fmt.Errorf("the plan was saved by lkup %s in a newer format; use that lkup, or plan again", head.Version)
	}
	var s Saved
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return Saved{}, fmt.Errorf("the saved plan is damaged (%w); plan again", err)
	}
	if err := s.Plan.valid(); err != nil {
		return Saved{}, fmt.Errorf("the saved plan is damaged (%w); plan again", err)
	}
	return s, nil
}

// valid checks what an executor relies on.
func (p *Plan) valid() error {
	for i, op := range p.Ops {
		if op.Step < 0 || op.Step >= len(p.Steps) {
			return fmt.Errorf("op %d has no step", i)
		}
		step := p.Steps[op.Step]
		if op.Phase != Down && step.Want == nil || op.Phase == Down && step.Have == nil {
			return fmt.Errorf("op %d has no machine", i)
		}
		for _, earlier := range op.After {
			if earlier < 0 || earlier >= i {
				return fmt.Errorf("op %d waits for one behind it", i)
			}
		}
	}
	return nil
}
