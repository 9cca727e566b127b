package spec

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"go.yaml.in/yaml/v3"
)

// Firmware: UEFI starts programs from an EFI system partition, a BIOS runs what
// lies at a disk's start.
const (
	FirmwareUEFI = "uefi"
	FirmwareBIOS = "bios"
)

// defaultUser is who cloud-init makes where the stack file names nobody.
const defaultUser = "lkup"

// Seed is what an image that is not lkup's is told on a small disk of its own.
// One of User and Metadata is set; neither if there is none.
type Seed struct {
	// User is who cloud-init makes, with lkup's key and the right to become root.
	User           string   `json:"user,omitempty"`
	AuthorizedKeys []string `json:"authorized_keys,omitempty"` // further keys that may log in as User
	UserData       string   `json:"user_data,omitempty"`       // joined with lkup's own
	// Metadata is what LinuxKit's metadata package is told, as JSON.
	Metadata string `json:"metadata,omitempty"`
}

// IsZero reports whether there is no seed.
func (s Seed) IsZero() bool {
	return s.User == "" && s.Metadata == "" && s.UserData == "" && len(s.AuthorizedKeys) == 0
}

// Cloud reports whether the seed is cloud-init's, so that the guest takes
// lkup's key, volumes and shares.
func (s Seed) Cloud() bool { return s.User != "" }

// Login is how to get into a guest that takes no key of lkup's. User is set,
// unless there is none.
type Login struct {
	User       string `json:"user,omitempty"`
	PrivateKey string `json:"private_key,omitempty"` // a file, absolute or relative to the project
	HostKey    string `json:"host_key,omitempty"`    // as known_hosts has it, without the host
}

// seed reads the seed block.
func (i *instance) seed(b *block) {
	i.origin("seed", b.at)
	s := &i.vm.Seed
	s.Metadata = i.metadata(b)
	if b.args["metadata"] != nil {
		for _, other := range []string{"user", "authorized_keys", "user_data"} {
			if b.args[other] != nil {
				i.wrong(b, other, "Two kinds of seed", "%q is for cloud-init and \"metadata\" for LinuxKit's metadata package, and an image has one of them. Take one out.", other)
			}
		}
		return
	}
	s.User = defaultUser
	if text, state := i.text(b, "user", "seed.user"); state == present {
		s.User = text
		if !userName().MatchString(text) {
			i.wrong(b, "user", "Invalid user", "A user's name is lower case letters, digits, _ and -. Write, for example: user = \"debian\"")
		}
	}
	for _, key := range i.words(b, "authorized_keys", "seed.authorized_keys") {
		if detail := badPublicKey(key); detail != "" {
			i.wrong(b, "authorized_keys", "Invalid key", "%s", detail)
		}
		s.AuthorizedKeys = append(s.AuthorizedKeys, strings.TrimSpace(key))
	}
	if text, state := i.text(b, "user_data", "seed.user_data"); state == present {
		s.UserData = text
		if detail := badUserData(text); detail != "" {
			i.wrong(b, "user_data", "Invalid user_data", "%s", detail)
		}
	}
}

var userName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`) })

// badPublicKey says what is wrong with a line of authorized_keys, or "".
func badPublicKey(line string) string {
	line = strings.TrimSpace(line)
	switch {
	case strings.Contains(line, "PRIVATE KEY"):
		return "This is a private key, which no guest may have. Write the public one: file(\"KEY.pub\")"
	case len(strings.Fields(line)) < 2 || strings.ContainsAny(line, "\r\n"):
		return "A public key is one line, such as \"ssh-ed25519 AAAA...\"."
	}
	return ""
}

// entry is a file or a folder of LinuxKit's metadata: see its docs/metadata.md.
type entry struct {
	Perm    string           `json:"perm"`
	Content *string          `json:"content"`
	Entries map[string]entry `json:"entries"`
}

// wrong is what the metadata package would only log, or "": path is where the
// entry stands.
func (e entry) wrong(path string) string {
	if (e.Content == nil) == (e.Entries == nil) {
		return fmt.Sprintf("%s has to be a file, with \"content\", or a folder, with \"entries\".", path)
	}
	if _, err := strconv.ParseUint(e.Perm, 8, 32); e.Perm != "" && err != nil {
		return fmt.Sprintf("The mode of %s, %q, is no octal number.", path, e.Perm)
	}
	for _, name := range sortedKeys(e.Entries) {
		if problem := e.Entries[name].wrong(path + "/" + name); problem != "" {
			return problem
		}
	}
	return ""
}

// metadata is LinuxKit's: an object of folders and files, or its JSON.
func (i *instance) metadata(b *block) string {
	v, state := i.raw(b, "metadata", "seed.metadata")
	if state != present {
		return ""
	}
	text := ""
	if v.Type() == cty.String {
		text = v.AsString()
	} else if content, err := ctyjson.Marshal(v, v.Type()); err == nil {
		text = string(content)
	}
	root := entry{}
	problem := "It is an object of folders and the files in them."
	if json.Unmarshal([]byte(text), &root.Entries) == nil && len(root.Entries) > 0 {
		problem = root.wrong("")
	}
	if problem != "" {
		i.wrong(b, "metadata", "Invalid metadata", "%s Write: metadata = { ssh = { entries = { authorized_keys = { perm = \"0600\", content = file(\"KEY.pub\") } } } }", problem)
	}
	return text
}

// userDataForms are the first lines by which cloud-init knows what it is given.
var userDataForms = []string{"#cloud-config", "#!", "#cloud-boothook", "#include", "#part-handler", "## template: jinja"}

// badUserData says what is wrong with user-data, or "".
func badUserData(text string) string {
	if !slices.ContainsFunc(userDataForms, func(form string) bool { return strings.HasPrefix(text, form) }) {
		return "cloud-init goes by its first line, which here is none that it knows. Begin it with #cloud-config, or, if it is a script, with #!/bin/sh"
	}
	if !strings.HasPrefix(text, "#cloud-config") || strings.HasPrefix(text, "#cloud-config-") {
		return ""
	}
	var config map[string]any
	if err := yaml.Unmarshal([]byte(text), &config); err != nil {
		return fmt.Sprintf("It is no YAML: %s.", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if keys, ok := config["ssh_keys"].(map[string]any); ok {
		for name := range keys {
			if strings.HasPrefix(name, "ed25519_") {
				return fmt.Sprintf("It sets ssh_keys.%s, and lkup gives the guest that key, by which it knows it. Take it out.", name)
			}
		}
	}
	return ""
}

// login reads the ssh block.
func (i *instance) login(b *block) {
	i.origin("ssh", b.at)
	l := &i.vm.SSH
	if text, state := i.text(b, "user", "ssh.user"); state == present {
		l.User = text
		if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' }) {
			i.wrong(b, "user", "Invalid user", "It names nobody. Write, for example: user = \"root\"")
		}
	}
	if text, state := i.text(b, "private_key", "ssh.private_key"); state == present {
		l.PrivateKey = text
		detail := badHostPath(text)
		if strings.Contains(text, "PRIVATE KEY") {
			detail = "This is the key itself, which would stand in the state. Write the path of its file."
		} else if detail != "" {
			detail = strings.ReplaceAll(detail, `a directory, relative to the project or absolute: host = "."`, `the path of a file: private_key = "KEY"`)
		}
		if detail != "" {
			i.wrong(b, "private_key", "Invalid path", "%s", detail)
		}
	}
	if text, state := i.text(b, "host_key", "ssh.host_key"); state == present {
		l.HostKey = strings.TrimSpace(text)
		if detail := badPublicKey(text); detail != "" {
			i.wrong(b, "host_key", "Invalid key", "%s", detail)
		}
	}
}

// firmware reads what starts a disk.
func (i *instance) firmware() {
	b := i.node.block
	text, state := i.text(b, "firmware", "firmware")
	if i.vm.Firmware = text; state == present && text != FirmwareUEFI && text != FirmwareBIOS {
		i.wrong(b, "firmware", "Unknown firmware", "There is no firmware %q.%s Write %q or %q, or nothing: lkup sees in a disk what starts it.", text, didYouMean("", text, []string{FirmwareUEFI, FirmwareBIOS}), FirmwareUEFI, FirmwareBIOS)
	}
}

// containers are sources whose images lkup's init runs.
var containers = []string{"oci:", "oci-layout:", "docker-archive:"}

// made says what an image is that lkup makes bootable itself, or "".
func (i *instance) made() string {
	img, found := i.stack.Images[i.vm.Image]
	switch {
	case !found:
		return ""
	case img.Template != nil:
		return "a template"
	case slices.ContainsFunc(containers, func(scheme string) bool { return strings.HasPrefix(img.Source, scheme) }):
		return "a container image"
	}
	return ""
}

// emulated notes what kind of computer the image is for, if not this one's.
func (i *instance) emulated() {
	img := i.stack.Images[i.vm.Image]
	if i.vm.Arch = img.Arch; img.Arch != "" {
		i.vm.Origins["arch"] = img.Origin
	}
}

// checkSeed reports what an image cannot take.
func (i *instance) checkSeed() {
	made := i.made()
	if made != "" && i.node.block.args["firmware"] != nil {
		i.wrong(i.node.block, "firmware", "Firmware without a disk", "%s has %s, whose kernel is started without any. Take it out.", i.address, made)
	}
	i.checkLogin(made)
	if !i.vm.Seed.Cloud() {
		return
	}
	if made != "" {
		i.refuse("seed", "Seed without cloud-init", "%s has %s, which lkup gives keys, volumes and shares without a seed. Take the block out; for LinuxKit's metadata package, write metadata = { ... } in it.", i.address, made)
		return
	}
	if i.node.block.args["env"] != nil {
		i.wrong(i.node.block, "env", "Environment of an image with a seed", "Only what lkup builds has programs that get it. Have cloud-init write it where the image reads it: write_files in user_data.")
	}
	if i.node.block.args["command"] != nil {
		i.wrong(i.node.block, "command", "Command of an image with a seed", "Only what lkup builds runs it. Have cloud-init run it: runcmd in user_data.")
	}
}

// checkSeededShare reports a share that cloud-init cannot mount.
func (i *instance) checkSeededShare(b *block, s Share) {
	if i.vm.Seed.Cloud() && s.Type == ShareSync {
		i.failed = true
		i.fail(b.at, "Copied share of an image with a seed", "A copy is written by root, and %s is none when lkup logs in. Take out: type = %q", i.vm.Seed.User, ShareSync)
	}
	if i.vm.Seed.Cloud() && len(s.Protected()) > 0 {
		i.failed = true
		i.fail(b.at, "Protected share of an image with a seed", "Only what lkup builds can mount a share with \"project\" or \"protect\". Take those out, or write: read_only = true")
	}
}

func (i *instance) checkLogin(made string) {
	if i.vm.SSH == (Login{}) {
		return
	}
	builtin := i.stack.Images[i.vm.Image].Template != nil && i.stack.Images[i.vm.Image].Template.Builtin != ""
	switch {
	case i.vm.Seed.Cloud():
		i.refuse("ssh", "Two ways in", "cloud-init lets %s in with a key of lkup's. Take the ssh block out.", i.vm.Seed.User)
	case builtin || made == "a container image":
		i.refuse("ssh", "Two ways in", "%s has %s, which takes a key of lkup's. Take the ssh block out.", i.address, made)
	}
}

// refuse reports something at the place of a block.
func (i *instance) refuse(kind, summary, detail string, args ...any) {
	i.failed = true
	i.fail(i.node.block.blocks[kind][0].at, summary, detail, args...)
}
