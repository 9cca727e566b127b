package main

import (
	"encoding/json"
	"errors"

	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

type imageLsCmd struct {
	All  bool `name:"all" short:"a" help:"List parts, layers and downloads too."`
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *imageLsCmd) Run(call *call) error {
	s, err := openStore(call.Host)
	if err != nil {
		return err
	}
	i, err := takeInventory(call.Host, s)
	if err != nil {
		return err
	}
	rows, totals := i.named(c.All), i.totals(storeDir(call.Host))
	if c.JSON {
		return view.StoreJSON(call.Out, rows, totals)
	}
	return view.StoreText(call.Out, call.outStyle(), call.Now(), rows, totals)
}

type imageInspectCmd struct {
	Image string `arg:"" help:"A digest, the beginning of one, or a name that lkup image ls shows."`
	JSON  bool   `name:"json" help:"Print JSON, with the records as they are."`
}

func (c *imageInspectCmd) Run(call *call) error {
	s, err := openStore(call.Host)
	if err != nil {
		return err
	}
	i, err := takeInventory(call.Host, s)
	if err != nil {
		return err
	}
	e, err := i.find(c.Image)
	if err != nil {
		return err
	}
	details := view.StoreDetails{StoreEntry: i.row(e), Inputs: map[string]string{}, Parts: i.parts(e, nil), Records: s.Records(e.Digest)}
	for ref, d := range e.Inputs {
		details.Inputs[ref] = string(d)
	}
	details.Config = i.config(s, e)
	if c.JSON {
		return view.StoreDetailsJSON(call.Out, details)
	}
	return view.StoreDetailsText(call.Out, call.outStyle(), call.Now(), details)
}

// parts are what an entry refers to, and their parts. What stands above is
// not repeated, should records name each other.
func (i storeInventory) parts(e store.Entry, above []sources.Digest) []view.StorePart {
	parts := []view.StorePart{}
	above = append(above, e.Digest)
	for _, d := range e.Refs {
		part := i.graph[d]
		row := view.StorePart{Digest: string(d), Kind: string(part.Kind), Names: part.Names, Own: part.Size, Parts: []view.StorePart{}}
		if row.Names == nil {
			row.Names = []string{}
		}
		if len(above) < 6 {
			row.Parts = i.parts(part, above)
		}
		parts = append(parts, row)
	}
	return parts
}

// config is the configuration of a component, as OCI has it: the record that
// has root file systems.
func (i storeInventory) config(s *store.Store, e store.Entry) json.RawMessage {
	if e.Kind != store.Component {
		return nil
	}
	for _, d := range append([]sources.Digest{e.Digest}, e.Refs...) {
		for _, record := range s.Records(d) {
			var file struct {
				RootFS *json.RawMessage `json:"rootfs"`
			}
			if json.Unmarshal(record, &file) == nil && file.RootFS != nil {
				return record
			}
		}
	}
	return nil
}

type imageVerifyCmd struct {
	lockFlags
	Image  []string `arg:"" optional:"" help:"Only these, with all that they need: digests, or names that lkup image ls shows."`
	Repair bool     `name:"repair" help:"Remove what is damaged, so that it is fetched or built again when it is needed."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

func (c *imageVerifyCmd) Run(call *call) error {
	s, err := c.open(call)
	if err != nil {
		return err
	}
	i, err := takeInventory(call.Host, s)
	if err != nil {
		return err
	}
	chosen, err := c.chosen(i)
	if err != nil {
		return err
	}
	found := view.StoreVerified{Repaired: c.Repair}
	var damaged []store.Entry
	for _, d := range i.graph.Digests() {
		if !chosen[d] {
			continue
		}
		if err := call.ctx.Err(); err != nil {
			return err
		}
		damages, err := s.Verify(d)
		if errors.Is(err, store.ErrUnsummed) {
			found.Unknown++
		} else if err != nil {
			return err
		}
		found.Checked++
		for _, what := range damages {
			found.Damaged = append(found.Damaged, view.StoreDamage{
				Digest: string(d), Kind: string(i.graph[d].Kind), Names: i.graph[d].Names, Path: what.Path, What: what.What,
			})
		}
		if len(damages) > 0 {
			damaged = append(damaged, i.graph[d])
		}
	}
	if c.Repair {
		if err := s.Remove(damaged...); err != nil {
			return err
		}
	}
	return c.show(call, found)
}

// open opens the store alone, if something may have to be removed.
func (c *imageVerifyCmd) open(call *call) (*store.Store, error) {
	if c.Repair {
		return openStoreAlone(call, c.lockFlags)
	}
	return openStore(call.Host)
}

func (c *imageVerifyCmd) chosen(i storeInventory) (map[sources.Digest]bool, error) {
	var roots []sources.Digest
	for _, name := range c.Image {
		e, err := i.find(name)
		if err != nil {
			return nil, err
		}
		roots = append(roots, e.Digest)
	}
	if len(c.Image) == 0 {
		roots = i.graph.Digests()
	}
	return i.graph.Needed(roots...), nil
}

func (c *imageVerifyCmd) show(call *call, found view.StoreVerified) error {
	var err error
	if c.JSON {
		err = view.StoreVerifiedJSON(call.Out, found)
	} else {
		err = view.StoreVerifiedText(call.Out, call.outStyle(), found)
	}
	switch {
	case err != nil || len(found.Damaged) == 0 || c.Repair:
		return err
	case c.JSON:
		return exitError(exitFailed)
	}
	return errors.New("the image store is damaged; to remove what is, so that it is fetched again, type: lkup image verify --repair")
}
