package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lkup/lkup/internal/layout"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/spec"
)

// Generation is what a stack was after a successful apply.
type Generation struct {
	FormatVersion int       `json:"format_version"`
	Number        int       `json:"number"` // from 1, in the order of time
	Time          time.Time `json:"time"`
	Command       string    `json:"command"` // apply, down, rollback 3
	Summary       string    `json:"summary"` // of the plan, for people
	Version       string    `json:"lkup_version"`

	Members   map[spec.Address]Member `json:"members,omitempty"`
	Volumes   map[spec.Address]Volume `json:"volumes,omitempty"`
	Outputs   map[string]any          `json:"outputs,omitempty"`
	Sensitive []string                `json:"sensitive_outputs,omitempty"`
}

// Member is one machine of a generation, with what it takes to make it again.
type Member struct {
	VM     spec.VM        `json:"vm"`
	Image  spec.Image     `json:"image"`
	Digest sources.Digest `json:"digest"`
	Recipe string         `json:"recipe,omitempty"`
	Driver string         `json:"driver"`
}

// AddGeneration records what the state now is as the newest generation. Number,
// members, volumes and outputs of g are filled in.
func (s *Store) AddGeneration(g Generation) error {
	numbers, err := generations(s.paths)
	if err != nil {
		return err
	}
	now := s.State().Generation()
	g.FormatVersion, g.Number = recordFormat, 1
	if len(numbers) > 0 {
		g.Number = numbers[len(numbers)-1] + 1
	}
	g.Members, g.Volumes, g.Outputs, g.Sensitive = now.Members, now.Volumes, now.Outputs, now.Sensitive
	content, err := json.Marshal(g)
	if err != nil {
		return err
	}
	if err := makeDir(s.paths.Generations()); err != nil {
		return err
	}
	return WriteFile(generationFile(s.paths, g.Number), append(content, '\n'), 0o600)
}

// Generation is what the state would be recorded as now, without a number.
func (s State) Generation() Generation {
	g := Generation{
		FormatVersion: recordFormat, Volumes: s.Volumes, Outputs: s.Outputs, Sensitive: s.Sensitive,
		Members: make(map[spec.Address]Member, len(s.Instances)),
	}
	for a, i := range s.Instances {
		g.Members[a] = Member{VM: i.Applied, Image: i.Image, Digest: i.Digest, Recipe: i.Recipe, Driver: i.Driver}
	}
	return g
}

// PruneGenerations forgets all but the newest generations, and says how many.
func (s *Store) PruneGenerations(keep int) (int, error) {
	numbers, err := generations(s.paths)
	if err != nil {
		return 0, err
	}
	old := numbers[:max(0, len(numbers)-keep)]
	for _, n := range old {
		if err := os.Remove(generationFile(s.paths, n)); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}

func generationFile(paths layout.Stack, number int) string {
	return filepath.Join(paths.Generations(), strconv.Itoa(number)+".json")
}

// generations lists the numbers of a stack's generations, oldest first.
func generations(paths layout.Stack) ([]int, error) {
	files, err := os.ReadDir(paths.Generations())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var numbers []int
	for _, file := range files {
		name, found := strings.CutSuffix(file.Name(), ".json")
		if n, err := strconv.Atoi(name); found && err == nil && n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// Generations reads all generations of a stack, oldest first.
func Generations(paths layout.Stack) ([]Generation, error) {
	numbers, err := generations(paths)
	if err != nil {
		return nil, err
	}
	var all []Generation
	for _, n := range numbers {
		g, err := ReadGeneration(paths, n)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

// ReadGeneration reads one generation.
func ReadGeneration(paths layout.Stack, number int) (Generation, error) {
	path := generationFile(paths, number)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Generation{}, fmt.Errorf("there is no generation %d; lkup history lists them", number)
	}
	if err != nil {
		return Generation{}, err
	}
	var g Generation
	if err := json.Unmarshal(content, &g); err != nil || g.FormatVersion < 1 || g.Number != number {
		return Generation{}, fmt.Errorf("generation %d is damaged: %s", number, path)
	}
	if g.FormatVersion > recordFormat {
		return Generation{}, fmt.Errorf("generation %d was written by a newer lkup (format %d, this one knows %d); update lkup", number, g.FormatVersion, recordFormat)
	}
	return g, nil
}

// Stack is what the generation was, as if stack files asked for it.
func (g Generation) Stack(name string) *spec.Stack {
	s := &spec.Stack{
		Name: name, Images: map[spec.Address]spec.Image{}, VMs: map[spec.Address]spec.VM{},
		Volumes: map[spec.Address]spec.Volume{}, Outputs: map[string]spec.Output{},
	}
	for a, m := range g.Members {
		s.VMs[a] = m.VM
		s.Images[m.VM.Image] = m.Image
		for _, mount := range m.VM.Mounts {
			v := g.Volumes[mount.Volume]
			s.Volumes[mount.Volume] = spec.Volume{Address: mount.Volume, Name: v.Name, Format: v.Format, Size: mount.Size}
		}
	}
	for name, value := range g.Outputs {
		s.Outputs[name] = spec.Output{Name: name, Value: value, Known: true, Sensitive: slices.Contains(g.Sensitive, name)}
	}
	return s
}

// Digests are the images of the generation's machines, pinned; Drivers their
// drivers, and Recipes the parts of the images that the user decides.
func (g Generation) Digests() (digests map[spec.Address]sources.Digest, drivers, recipes map[spec.Address]string) {
	digests, drivers, recipes = map[spec.Address]sources.Digest{}, map[spec.Address]string{}, map[spec.Address]string{}
	for a, m := range g.Members {
		digests[m.VM.Image], drivers[a], recipes[m.VM.Image] = m.Digest, m.Driver, m.Recipe
	}
	return digests, drivers, recipes
}
