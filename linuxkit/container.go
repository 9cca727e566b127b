package linuxkit

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/sys/user"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
	"github.com/lkup/lkup/spec"
)

// containerTemplate is what a container image is booted with.
//
//go:embed container.yml
var containerTemplate []byte

const containerFile = "container.yml"

// problem is an error with the place of the ref, where a person can look at
// it.
func (r ref) problem(err error) error {
	if r.At.File == containerFile {
		return err
	}
	return fmt.Errorf("%s: %w", r.At, err)
}

// ContainerSchemes are the kinds of source that give container images. An
// image with one of them is built here: its container is the only service.
func ContainerSchemes() []string { return []string{"docker-archive", "oci", "oci-layout"} }

// IsContainer reports whether an image's source is a container image.
func IsContainer(img spec.Image) bool {
	scheme, _, _ := strings.Cut(img.Source, ":")
	return img.Template == nil && slices.Contains(ContainerSchemes(), scheme)
}

// readContainer makes the recipe of a container image.
func (b *Builder) readContainer(ctx context.Context, img spec.Image) (recipe, error) {
	if img.SHA256 != "" {
		return recipe{}, fmt.Errorf("%s: a container image is pinned in its source: take out sha256, and write %s@sha256:...", img.Address, img.Source)
	}
	t, err := parse(containerFile, containerTemplate, map[string]string{"NAME": serviceName(img.Source), "IMAGE": img.Source}, false)
	if err != nil {
		return recipe{}, err
	}
	r := recipe{name: img.Source, template: t, digests: map[string]sources.Digest{}, arch: b.Arch, container: true}
	return r, b.pin(ctx, &r)
}

var notInName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[^A-Za-z0-9._-]+`)
})

// serviceName is what a container is called in its guest: the last word of
// its image's ref, without tag and digest.
func serviceName(source string) string {
	_, ref, _ := strings.Cut(source, ":")
	ref, _, _ = strings.Cut(ref, "@")
	name, _, _ := strings.Cut(path.Base(ref), ":")
	name = strings.Trim(notInName().ReplaceAllString(strings.TrimSuffix(name, ".tar"), "-"), "-._")
	return cmp.Or(name, "app")
}

// containerKey is the key of a container image: only the image itself is the
// user's, all else is lkup's.
func (r recipe) containerKey() string {
	image := r.template.Services[0].Image.Text
	return string(store.Key("container image", r.arch, image, string(r.digests[image])))
}

// dockerPath is the search path of containers whose image has none, as Docker
// sets it.
const dockerPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// asDocker sets what Docker takes from an image and LinuxKit does not: the
// user, and a search path.
func (b *bundle) asDocker(from component) error {
	if len(b.image.Entrypoint)+len(b.image.Cmd) == 0 {
		return errors.New("it names no command to run; write a template, with the image as a service that has a command")
	}
	if !slices.ContainsFunc(b.image.Env, func(entry string) bool { return strings.HasPrefix(entry, "PATH=") }) {
		b.image.Env = append([]string{dockerPath}, b.image.Env...)
	}
	if b.image.User == "" {
		return nil
	}
	passwd, err := from.accounts("etc/passwd")
	if err != nil {
		return err
	}
	group, err := from.accounts("etc/group")
	if err != nil {
		return err
	}
	u, err := user.GetExecUser(b.image.User, nil, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return fmt.Errorf("its user %q: %w", b.image.User, err)
	}
	b.settings.UID, b.settings.GID = &identity{Text: strconv.Itoa(u.Uid)}, &identity{Text: strconv.Itoa(u.Gid)}
	groups := []identity{*b.settings.GID} // or a file that denies it to the group would be open
	for _, gid := range u.Sgids {
		groups = append(groups, identity{Text: strconv.Itoa(gid)})
	}
	b.settings.AdditionalGids = &groups
	return nil
}

// maxAccounts bounds a file of accounts, in bytes.
const maxAccounts = 1 << 20

// accounts is etc/passwd or etc/group of an image; empty if it has none.
func (c component) accounts(name string) ([]byte, error) {
	entries, err := c.tree.place(nil)
	if err != nil {
		return nil, err
	}
	entry, ok := entries[name]
	if !ok {
		return nil, nil
	}
	if entry.header.Size > maxAccounts {
		return nil, fmt.Errorf("its %s has more than %d MiB", name, maxAccounts>>20)
	}
	return c.read(name)
}
