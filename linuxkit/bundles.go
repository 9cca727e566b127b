package linuxkit

import (
	"fmt"
	"reflect"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/lkup/lkup/sources/store"
)

// bundles are the containers of the template: for each the files of its
// image, unless an earlier container has the same, and its configuration.
func (r recipe) bundles(components map[string]component) ([]segment, error) {
	var list []segment
	ids := r.template.identities()
	images := map[string]string{} // ref -> folder of its files in the guest
	for _, s := range r.template.sections() {
		for i, c := range s.containers {
			dir := "containers/" + s.name + "/" + c.Name
			if s.name != services {
				dir = fmt.Sprintf("containers/%s/%03d-%s", s.name, i, c.Name)
			}
			from := originOf(c.Image, fmt.Sprintf("%s[%d]", s.name, i))
			segments, err := r.bundle(dir, c, components[c.Image.Text], from, ids, images)
			if err != nil {
				if r.container {
					return nil, fmt.Errorf("%s: %w", c.Image.Text, err)
				}
				return nil, fmt.Errorf("%s: %s[%d] (%s): %w", c.At, s.name, i, c.Name, err)
			}
			list = append(list, segments...)
		}
	}
	return list, nil
}

func (r recipe) bundle(dir string, c container, from component, as origin, ids map[string]uint32, images map[string]string) ([]segment, error) {
	config, err := from.image.ConfigFile()
	if err != nil {
		return nil, err
	}
	label, err := labelSettings(c.Image.Text, config.Config)
	if err != nil {
		return nil, err
	}
	b := bundle{settings: merge(withVolumes(c.settings, r.template.Volumes), label), image: config.Config, ids: ids}
	if r.container {
		if err := b.asDocker(from); err != nil {
			return nil, err
		}
	}
	readonly := isTrue(b.settings.Readonly)
	name := expandedRef(c.Image.Text) // as LinuxKit compares
	image, repeated := images[name]
	if !repeated {
		image = dir + "/lower"
		if readonly {
			image = dir + "/rootfs"
		}
		images[name] = image
	}
	configJSON, err := b.configJSON()
	if err != nil {
		return nil, err
	}
	runtimeJSON, err := runtimeJSON(*b.settings.Runtime, rootMounts(dir, image, readonly))
	if err != nil {
		return nil, err
	}
	var list []segment
	if !repeated {
		list = append(list, from.segment(image, as, false))
	}
	ownRoot := image == dir+"/rootfs"
	return append(list, segment{
		key:    store.Key(format, "bundle", dir, string(configJSON), string(runtimeJSON), fmt.Sprint(readonly, ownRoot)),
		what:   dir,
		origin: as,
		write: func(a archive) error {
			return writeBundle(a, dir, configJSON, runtimeJSON, readonly, ownRoot)
		},
	}), nil
}

// segment is the files of a component below a folder of the guest. live says
// that the guest's own resolv.conf is to be seen in it.
func (c component) segment(folder string, as origin, live bool) segment {
	return segment{
		key:    store.Key(format, "image", string(c.digest), folder, fmt.Sprint(live)),
		what:   c.ref,
		origin: as,
		write: func(a archive) error {
			entries, err := c.tree.place(c.tree.linksIntoUsr())
			if err != nil {
				return err
			}
			return c.tree.unpack(a, folder, entries, live)
		},
	}
}

// writeBundle writes what init and runc read, and the folders that they mount
// on. ownRoot says that the image's files lie in rootfs.
func writeBundle(a archive, dir string, config, runtime []byte, readonly, ownRoot bool) error {
	parts := strings.Split(dir, "/")
	for i := range parts {
		if err := addDir(a, strings.Join(parts[:i+1], "/")); err != nil {
			return err
		}
	}
	if err := addFile(a, dir+"/config.json", config); err != nil {
		return err
	}
	if !readonly {
		if err := addDir(a, dir+"/tmp"); err != nil {
			return err
		}
	}
	if !ownRoot {
		if err := addDir(a, dir+"/rootfs"); err != nil {
			return err
		}
	}
	return addFile(a, dir+"/runtime.json", runtime)
}

// configLabel holds a component's own settings, as JSON or YAML.
const configLabel = "org.mobyproject.config"

func labelSettings(ref string, config v1.Config) (settings, error) {
	text, ok := config.Labels[configLabel]
	if !ok {
		return settings{}, nil
	}
	d := newDecoder("label "+configLabel+" of "+ref, nil)
	var s settings
	if node := d.document([]byte(text)); node != nil {
		d.decode(node, reflect.ValueOf(&s).Elem(), "the label")
		d.checkSettings("the label", d.at(node), s, nil)
		d.checkLabelBinds(s, d.at(node))
	}
	if len(d.mistakes) > 0 {
		return settings{}, d.mistakes.sorted()
	}
	return s, nil
}

// checkLabelBinds refuses names of volumes: a component cannot know a
// template's. LinuxKit writes them as they are, which no runtime can mount.
func (d *decoder) checkLabelBinds(s settings, at Position) {
	for _, text := range given(s.Binds) {
		mount, err := bindMount(text)
		if err != nil {
			continue // which was said
		}
		if err := checkUse(mount, nil); err != nil {
			d.report(at, "the label.binds: %q: %v", text, err)
		}
	}
}
