package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lkup/lkup/internal/view"
	"github.com/lkup/lkup/linuxkit"
	"github.com/lkup/lkup/spec"
)

type templateCmd struct {
	Ls    templateLsCmd    `cmd:"" help:"List the templates that a name can mean here."`
	Show  templateShowCmd  `cmd:"" help:"Print a template's YAML."`
	Vars  templateVarsCmd  `cmd:"" help:"List a template's variables."`
	Build templateBuildCmd `cmd:"" help:"Build a template into the image store."`
	New   templateNewCmd   `cmd:"" help:"Write a starter template into the project."`
}

// places are where templates come from, the first that has a name winning.
var places = []string{"project", "user", "builtin"}

// catalogue is the templates that a name can mean in a project.
type catalogue struct {
	images *imageSources
	names  map[string][]string // by place
}

func openCatalogue(host Host, dir string) (catalogue, error) {
	images, err := newImageSources(host, dir)
	if err != nil {
		return catalogue{}, err
	}
	return catalogue{images, map[string][]string{
		"project": spec.TemplatesIn(os.DirFS(dir), spec.TemplateDir),
		"user":    openUserTemplates(host).names(),
		"builtin": linuxkit.Builtins(),
	}}, nil
}

// find gives the template that a name means; "builtin:NAME" is always the one
// that lkup brings.
func (c catalogue) find(name string) (spec.Image, error) {
	img := spec.Image{Address: spec.Address("template:" + name)}
	if builtin, ok := strings.CutPrefix(name, "builtin:"); ok {
		img.Template = &spec.Template{Builtin: builtin}
		_, _, err := c.images.templates.Text(img)
		return img, err
	}
	t, ok := spec.FindTemplate(name, c.names["project"], c.names["user"], c.names["builtin"])
	if !ok {
		return img, fmt.Errorf("no template is called %q; lkup template ls lists those that there are, and lkup template new %s writes one", name, name)
	}
	img.Template = &t
	return img, nil
}

// text is the YAML that a name means.
func (c catalogue) text(name string) (file string, content []byte, err error) {
	img, err := c.find(name)
	if err != nil {
		return "", nil, err
	}
	return c.images.templates.Text(img)
}

type templateLsCmd struct {
	dirFlag
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *templateLsCmd) Run(call *call) error {
	known, err := openCatalogue(call.Host, c.Dir)
	if err != nil {
		return err
	}
	var all []string
	for _, names := range known.names {
		all = append(all, names...)
	}
	var rows []view.Template
	for _, name := range slices.Compact(slices.Sorted(slices.Values(all))) {
		rows = append(rows, known.rows(name)...)
	}
	if c.JSON {
		return view.TemplatesJSON(call.Out, rows)
	}
	return view.Templates(call.Out, call.outStyle(), rows)
}

// rows are the templates of one name, the one that the name means first.
func (c catalogue) rows(name string) []view.Template {
	var rows []view.Template
	for _, place := range places {
		if !slices.Contains(c.names[place], name) {
			continue
		}
		row := view.Template{Name: name, From: place}
		t := spec.Template{Builtin: name}
		switch place {
		case "project":
			t = spec.Template{File: filepath.ToSlash(filepath.Join(spec.TemplateDir, name+".yml"))}
		case "user":
			t = spec.Template{User: name}
		}
		file, content, err := c.images.templates.Text(spec.Image{Template: &t})
		if place != "builtin" {
			row.Path = file
		}
		var about linuxkit.About
		if err == nil {
			about, err = linuxkit.ReadAbout(file, content)
		}
		row.Summary, row.Memory = about.Summary, about.Memory
		if err != nil {
			row.Problem = err.Error()
		}
		if len(rows) > 0 {
			row.ShadowedBy = rows[0].From
			rows[0].Shadows = append(rows[0].Shadows, place)
		}
		rows = append(rows, row)
	}
	return rows
}

type templateShowCmd struct {
	dirFlag
	Name string `arg:"" help:"The template's name, or builtin:NAME."`
}

func (c *templateShowCmd) Run(call *call) error {
	known, err := openCatalogue(call.Host, c.Dir)
	if err != nil {
		return err
	}
	_, content, err := known.text(c.Name)
	if err != nil {
		return err
	}
	_, err = call.Out.Write(content)
	return err
}

type templateVarsCmd struct {
	dirFlag
	JSON bool   `name:"json" help:"Print JSON."`
	Name string `arg:"" help:"The template's name, or builtin:NAME."`
}

func (c *templateVarsCmd) Run(call *call) error {
	known, err := openCatalogue(call.Host, c.Dir)
	if err != nil {
		return err
	}
	file, content, err := known.text(c.Name)
	if err != nil {
		return err
	}
	about, err := linuxkit.ReadAbout(file, content)
	if err != nil {
		return err
	}
	var rows []view.TemplateVariable
	for _, v := range about.Variables {
		row := view.TemplateVariable{Name: v.Name, Required: v.Required}
		if !v.Required {
			row.Default = &v.Default
		}
		rows = append(rows, row)
	}
	if c.JSON {
		return view.TemplateVariablesJSON(call.Out, rows)
	}
	if len(rows) == 0 {
		fmt.Fprintf(call.Err, "%s has no variables.\n", file)
		return nil
	}
	return view.TemplateVariables(call.Out, call.outStyle(), rows)
}

type templateBuildCmd struct {
	dirFlag
	Vars []string `name:"var" sep:"none" placeholder:"NAME=VALUE" help:"Give a value to a variable. May be repeated."`
	Name string   `arg:"" help:"The template's name, or builtin:NAME."`
}

func (c *templateBuildCmd) Run(call *call) error {
	known, err := openCatalogue(call.Host, c.Dir)
	if err != nil {
		return err
	}
	img, err := known.find(c.Name)
	if err != nil {
		return err
	}
	img.Template.Vars, err = assignments(c.Vars)
	if err != nil {
		return err
	}
	d, err := known.images.Resolve(call.ctx, img)
	if err != nil {
		return err
	}
	artifact, err := known.images.Fetch(call.ctx, img, d, view.Steps(call.Err, call.errStyle()))
	if err != nil {
		return err
	}
	kernel, err := total(artifact.Kernel)
	if err != nil {
		return err
	}
	initrds, err := total(artifact.Initrds...)
	if err != nil {
		return err
	}
	return view.BuiltTemplate(call.Out, call.outStyle(), string(d), kernel, initrds)
}

// total is the size of files, in bytes.
func total(files ...string) (int64, error) {
	var sum int64
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	return sum, nil
}

type templateNewCmd struct {
	dirFlag
	Name string `arg:"" help:"The new template's name."`
}

// starterTemplate builds and boots as it is.
const starterTemplate = `# %s: say here what it is.
# memory: 128MiB
kernel:
  image: builtin:kernel
init:
  - builtin:init         # lkup's own init, with its SSH server
  - apt:busybox-static   # a package with what it depends on; apt:a,b names several
  # - apt:runc           # runs the containers of onboot and services
files:
  - path: etc/motd
    contents: "${GREETING:-hello}\n"
    mode: "0644"
# services:
#   - name: httpd
#     image: apt:busybox-static
#     command: ["/bin/busybox", "httpd", "-f", "-h", "/srv/www"]
#     capabilities: [CAP_NET_BIND_SERVICE]
#     binds: ["/srv/www:/srv/www"]
`

func (c *templateNewCmd) Run(call *call) error {
	if name, ok := spec.TemplateName(c.Name + ".yml"); !ok || name != c.Name {
		return usageError{fmt.Sprintf("%q is no name of a template; use letters, digits, _ and -", c.Name)}
	}
	dir := filepath.Join(c.Dir, spec.TemplateDir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return fmt.Errorf("make the folder of templates: %w", err)
	}
	path := filepath.Join(dir, c.Name+".yml")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is already there; edit it, or choose another name", path)
	}
	if err != nil {
		return fmt.Errorf("write the template: %w", err)
	}
	if _, err := fmt.Fprintf(f, starterTemplate, c.Name); err != nil {
		_ = f.Close()
		return fmt.Errorf("write the template: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write the template: %w", err)
	}
	fmt.Fprintf(call.Out, "Wrote %s. A stack uses it with: template %q { name = %q }\n", path, c.Name, c.Name)
	if slices.Contains(linuxkit.Builtins(), c.Name) {
		fmt.Fprintf(call.Err, "It hides the one that lkup brings, which is still builtin:%s.\n", c.Name)
	}
	return nil
}
