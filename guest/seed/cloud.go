package seed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"mime/quotedprintable"
	"strconv"
	"strings"

	"github.com/lkup/lkup/guest"
)

// Cloud is what cloud-init is told besides a VM's settings.
type Cloud struct {
	Instance string // lkup's ID of it
	User     string // who is made, with the settings' authorized keys
	UserData string // the user's own; may be empty
	HostKey  string // the public half of the settings' host key
}

// CloudFiles are the files of a disc for cloud-init's data source NoCloud: see
// its reference, "NoCloud". What is YAML there is JSON here, which is YAML.
func CloudFiles(c guest.Config, d Cloud) ([]File, error) {
	network, err := text(networkConfig(c))
	if err != nil {
		return nil, err
	}
	// Who has another network is another instance to cloud-init, which else
	// would not set it up anew.
	sum := sha256.Sum256([]byte(network))
	meta, err := text(map[string]string{
		"instance-id":    "lkup-" + d.Instance + "-" + hex.EncodeToString(sum[:4]),
		"local-hostname": c.Hostname,
	})
	if err != nil {
		return nil, err
	}
	user, err := userData(c, d)
	return []File{{"meta-data", meta}, {"network-config", network}, {"user-data", user}}, err
}

// MetadataFiles are the files of a disc for LinuxKit's metadata package: what
// it is told, under the name that it looks for now and the one before.
func MetadataFiles(c guest.Config, metadata string) ([]File, error) {
	meta, err := text(map[string]string{"instance-id": "lkup-" + c.Hostname, "local-hostname": c.Hostname})
	return []File{{"config", metadata}, {"meta-data", meta}, {"user-data", metadata}}, err
}

func text(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.String(), err
}

type ethernet struct {
	Match       map[string]string `json:"match"`
	Name        string            `json:"set-name"`
	DHCP4       bool              `json:"dhcp4"`
	Addresses   []string          `json:"addresses"`
	Routes      []route           `json:"routes,omitempty"`
	Nameservers *nameservers      `json:"nameservers,omitempty"`
}

type route struct {
	To  string `json:"to"`
	Via string `json:"via"`
}

type nameservers struct {
	Addresses []string `json:"addresses"`
	Search    []string `json:"search,omitempty"`
}

// networkConfig is cloud-init's "Networking config Version 2". Who tells names
// stands with the interface that leads out; no guest has two of those.
func networkConfig(c guest.Config) any {
	all := map[string]ethernet{}
	for n, i := range c.Interfaces {
		e := ethernet{Match: map[string]string{"macaddress": i.MAC}, Name: "net" + strconv.Itoa(n), Addresses: []string{i.Address}}
		if i.Address6 != "" {
			e.Addresses = append(e.Addresses, i.Address6)
		}
		if i.Gateway != "" {
			e.Routes, e.Nameservers = []route{{"0.0.0.0/0", i.Gateway}}, &nameservers{c.DNS, c.Search}
		}
		all[e.Name] = e
	}
	return map[string]any{"version": 2, "ethernets": all}
}

// userData is lkup's own, behind the user's if there is one: cloud-init joins
// the two, as the second one's header says. Lists are put together, and of
// other values that both have the user's stays.
func userData(c guest.Config, d Cloud) (string, error) {
	own, err := cloudConfig(c, d)
	if err != nil || d.UserData == "" {
		return own, err
	}
	sum := sha256.Sum256([]byte(own + d.UserData))
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary("lkup-" + hex.EncodeToString(sum[:16])); err != nil {
		return "", err
	}
	b.WriteString("Content-Type: multipart/mixed; boundary=\"" + w.Boundary() + "\"\nMIME-Version: 1.0\n\n")
	// What the user's is, cloud-init sees in its first line.
	if err := part(w, "text/plain", "", d.UserData); err != nil {
		return "", err
	}
	if err := part(w, "text/cloud-config", "list(append)+dict(no_replace,recurse_list)+str()", own); err != nil {
		return "", err
	}
	err = w.Close()
	return strings.ReplaceAll(b.String(), "\r\n", "\n"), err
}

func part(w *multipart.Writer, kind, merge, content string) error {
	header := map[string][]string{"Content-Type": {kind + `; charset="utf-8"`}, "Content-Transfer-Encoding": {"quoted-printable"}}
	if merge != "" {
		header["Merge-Type"] = []string{merge}
	}
	to, err := w.CreatePart(header)
	if err != nil {
		return err
	}
	q := quotedprintable.NewWriter(to)
	if _, err := q.Write([]byte(content)); err != nil {
		return err
	}
	return q.Close()
}

type cloudUser struct {
	Name           string   `json:"name"`
	Sudo           string   `json:"sudo,omitempty"`
	LockPassword   bool     `json:"lock_passwd"`
	AuthorizedKeys []string `json:"ssh_authorized_keys"`
}

// cloudConfig is lkup's own user-data. Mounts are made by bootcmd, which is run
// at each boot, before the SSH server: what changes there needs no new
// instance, and leaves nothing in fstab.
func cloudConfig(c guest.Config, d Cloud) (string, error) {
	user := cloudUser{Name: d.User, Sudo: "ALL=(ALL) NOPASSWD:ALL", LockPassword: true, AuthorizedKeys: c.AuthorizedKeys}
	config := map[string]any{
		"ssh_deletekeys":   true,
		"ssh_keys":         map[string]string{"ed25519_private": c.HostKey, "ed25519_public": d.HostKey},
		"manage_etc_hosts": "localhost",
	}
	if d.User == "root" {
		config["disable_root"] = false
		user.Sudo = ""
	}
	config["users"] = []any{"default", user}
	if commands := mountCommands(c); len(commands) > 0 {
		config["bootcmd"] = commands
	}
	own, err := text(config)
	if err != nil {
		return "", fmt.Errorf("write the guest's user-data: %w", err)
	}
	return "#cloud-config\n" + own, nil
}
