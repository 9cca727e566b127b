package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/lkup/lkup/internal/state"
	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

type imagePullCmd struct {
	stackFlags
	offlineFlag
	Ref     []string `arg:"" optional:"" help:"Refs, or addresses such as template.web; otherwise all images of the stack."`
	Upgrade bool     `name:"upgrade" help:"Resolve what lkup.lock.hcl locks anew."`
	JSON    bool     `name:"json" help:"Print JSON."`
}

func (c *imagePullCmd) Run(call *call) error {
	p, err := openProject(call.Host, c.stackFlags)
	var invalid *invalidStack
	switch {
	case err == nil:
		defer p.close()
	case len(c.Ref) == 0 || errors.As(err, &invalid) && c.named():
		return err
	}
	dir := "."
	if p != nil {
		dir = p.dir
	}
	wanted, err := c.wanted(p)
	if err != nil {
		return err
	}
	images, err := openImageSources(call.Host, dir, imageUse{offline: c.Offline, upgrade: c.Upgrade})
	if err != nil {
		return err
	}
	if c.Offline {
		if err := images.checkHere(call.ctx, wanted, state.State{}); err != nil {
			return err
		}
	}
	rows, err := images.pull(call.ctx, wanted, view.Steps(call.Err, call.errStyle()))
	if err != nil {
		return err
	}
	if p != nil && c.ofStack(p) {
		if err := images.writeLockFile(call.ctx, true); err != nil {
			return err
		}
	}
	return c.show(call, images, rows)
}

// named reports whether a ref is an address, which only a stack can explain.
func (c *imagePullCmd) named() bool {
	for _, ref := range c.Ref {
		if strings.HasPrefix(ref, "template.") || strings.HasPrefix(ref, "image.") {
			return true
		}
	}
	return false
}

// ofStack reports whether the stack names all that is pulled: what is not its
// own is not locked for it.
func (c *imagePullCmd) ofStack(p *project) bool {
	for _, ref := range c.Ref {
		if _, ok := p.stack.Images[spec.Address(ref)]; !ok {
			return false
		}
	}
	return true
}

// wanted are the images to pull. A ref that is no address stands for itself.
func (c *imagePullCmd) wanted(p *project) ([]spec.Image, error) {
	if len(c.Ref) == 0 {
		return usedImages(p.stack), nil
	}
	var all []spec.Image
	for _, ref := range c.Ref {
		if p != nil {
			if img, ok := p.stack.Images[spec.Address(ref)]; ok {
				all = append(all, img)
				continue
			}
		}
		if c.named() && (strings.HasPrefix(ref, "template.") || strings.HasPrefix(ref, "image.")) {
			return nil, fmt.Errorf("the stack has no %s", ref)
		}
		all = append(all, spec.Image{Address: spec.Address(ref), Source: ref, Origin: spec.Pos{File: "the command line"}})
	}
	return all, nil
}

// pulled is an image that is here.
type pulled struct {
	img    spec.Image
	digest sources.Digest
	files  sources.Artifact // none of a component
}

// pull brings images here, one after another: each of them fetches its parts
// in parallel.
func (s *imageSources) pull(ctx context.Context, wanted []spec.Image, report sources.Report) ([]pulled, error) {
	var all []pulled
	for _, img := range wanted {
		p, err := s.pullOne(ctx, img, report)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (s *imageSources) pullOne(ctx context.Context, img spec.Image, report sources.Report) (p pulled, err error) {
	p.img = img
	if _, err := s.source(img); err != nil { // it is a component
		p.digest, err = s.pullComponent(ctx, img.Source, report)
		return p, err
	}
	if p.digest, err = s.Resolve(ctx, img); err != nil {
		return p, err
	}
	p.files, err = s.Fetch(ctx, img, p.digest, report)
	return p, err
}

func (s *imageSources) pullComponent(ctx context.Context, ref string, report sources.Report) (sources.Digest, error) {
	c := s.components(ref)
	d, err := c.Resolve(ctx, ref, s.templates.Arch)
	if err != nil {
		return "", err
	}
	_, err = c.Image(ctx, ref, s.templates.Arch, d, report)
	return d, err
}

// components gives the component of a ref, as templates have it.
func (s *imageSources) components(ref string) sources.Components {
	scheme, _, _ := strings.Cut(ref, ":")
	if c, ok := s.templates.Components[scheme]; ok {
		return c
	}
	return s.templates.Components["oci"]
}

func (c *imagePullCmd) show(call *call, images *imageSources, all []pulled) error {
	if c.JSON {
		return c.showJSON(call, images, all)
	}
	var graph store.Graph
	var rows []view.StoreEntry
	for _, p := range all {
		row, known := p.row()
		if !known {
			if graph == nil { // all of the store is looked at only if it must be
				var err error
				if graph, err = images.store.Entries(); err != nil {
					return err
				}
			}
			row = storeInventory{graph: graph}.row(graph[p.digest])
		}
		row.Digest = string(p.digest)
		rows = append(rows, row)
	}
	return view.PulledText(call.Out, call.outStyle(), rows)
}

// row is what can be told of an image by its own files: what they take up as a
// machine reads them.
func (p pulled) row() (view.StoreEntry, bool) {
	row := view.StoreEntry{Kind: string(store.Image), Names: []string{imageName(p.img)}}
	files := append([]string{p.files.Kernel}, p.files.Initrds...)
	if p.files.Disk != "" {
		row.Kind, files = string(store.Disk), []string{p.files.Disk}
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return row, false
		}
		row.Size += info.Size()
	}
	return row, true
}

// imageName is what the stack files call an image by: its template or its ref.
func imageName(img spec.Image) string {
	switch t := img.Template; {
	case t == nil:
		return img.Source
	case t.Builtin != "":
		return "builtin:" + t.Builtin
	case t.User != "":
		return "template:" + t.User
	default:
		return t.File
	}
}

func (c *imagePullCmd) showJSON(call *call, images *imageSources, all []pulled) error {
	i, err := takeInventory(call.Host, images.store)
	if err != nil {
		return err
	}
	var rows []view.StoreEntry
	for _, p := range all {
		row := i.row(i.graph[p.digest])
		row.Digest = string(p.digest)
		rows = append(rows, row)
	}
	return view.StoreJSON(call.Out, rows, i.totals(storeDir(call.Host)))
}
