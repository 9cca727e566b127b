package seed_test

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/kdomanski/iso9660"
	"golang.org/x/tools/txtar"

	"github.com/lkup/lkup/guest"
	"github.com/lkup/lkup/guest/seed"
)

var update = flag.Bool("update", false, "write the goldens anew")

// settings are a VM's with one of everything.
var settings = guest.Config{
	Hostname:       "db",
	HostKey:        "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA==\n-----END OPENSSH PRIVATE KEY-----\n",
	AuthorizedKeys: []string{"ssh-ed25519 CCCC", "ssh-ed25519 DDDD me"},
	Interfaces:     []guest.Interface{{MAC: "52:54:00:01:02:03", Address: "10.0.2.15/24", Gateway: "10.0.2.2"}},
	DNS:            []string{"10.0.2.3"},
}

func TestCloudInitIsToldOfEverything(t *testing.T) {
	volumes := settings
	volumes.Volumes = []guest.Volume{{Name: "data", Path: "/var/lib/data"}, {Name: "old", Path: "/old", ReadOnly: true}}
	volumes.Shares = []guest.Share{{Tag: "share0", Path: "/srv/www"}, {Tag: "share1", Path: "/etc/x", ReadOnly: true}, {Tag: "share2", Path: "/fast", Virtiofs: true}}
	networks := settings
	networks.DNS, networks.Search = []string{"10.89.0.1"}, []string{"shop.internal"}
	networks.Interfaces = []guest.Interface{
		{MAC: "52:54:00:01:02:03", Address: "10.89.1.2/24", Address6: "fd00::2/64"},
		{MAC: "52:54:00:01:02:04", Address: "10.89.0.2/24", Address6: "fd01::2/64", Gateway: "10.89.0.1"},
	}
	tests := []struct {
		name   string
		config guest.Config
		cloud  seed.Cloud
	}{
		{"plain", settings, seed.Cloud{User: "lkup"}},
		{"root", settings, seed.Cloud{User: "root"}},
		{"volumes-and-shares", volumes, seed.Cloud{User: "lkup"}},
		{"networks", networks, seed.Cloud{User: "lkup"}},
		{"user-data", settings, seed.Cloud{User: "debian", UserData: "#cloud-config\n# größer = besser\npackages: [nginx]\nusers: [bob]\n"}},
		{"script", settings, seed.Cloud{User: "debian", UserData: "#!/bin/sh\necho done\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cloud.Instance, tt.cloud.HostKey = "0a1b2c3d", "ssh-ed25519 BBBB"
			files, err := seed.CloudFiles(tt.config, tt.cloud)
			if err != nil {
				t.Fatal(err)
			}
			var archive txtar.Archive
			for _, f := range files {
				archive.Files = append(archive.Files, txtar.File{Name: f.Name, Data: []byte(f.Content)})
			}
			compare(t, filepath.Join("testdata", "cloud", tt.name+".txtar"), txtar.Format(&archive))
		})
	}
}

func compare(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

// TestADiscIsReadByOthers has a library read it that did not write it.
func TestADiscIsReadByOthers(t *testing.T) {
	want := map[string]string{
		"meta-data": "instance-id: x\n", "network-config": "", "user-data": strings.Repeat("#", 3*2048), "config": strings.Repeat("x", 2049),
	}
	var files []seed.File
	for _, name := range []string{"config", "meta-data", "network-config", "user-data"} {
		files = append(files, seed.File{Name: name, Content: want[name]})
	}
	disc, err := seed.Disc(files)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := seed.Disc(files); !bytes.Equal(disc, again) {
		t.Error("the same files gave other bytes")
	}
	image, err := iso9660.OpenImage(bytes.NewReader(disc))
	if err != nil {
		t.Fatal(err)
	}
	label, err := image.Label()
	if err != nil || label != "cidata" {
		t.Errorf("it is called %q, %v", label, err)
	}
	root, err := image.RootDir()
	if err != nil {
		t.Fatal(err)
	}
	children, err := root.GetChildren()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, c := range children {
		content, err := io.ReadAll(c.Reader())
		if err != nil {
			t.Fatal(err)
		}
		if c.Mode().Perm() != 0o400 {
			t.Errorf("%s has mode %s", c.Name(), c.Mode())
		}
		got[c.Name()] = string(content)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestADiscHasRoomForSoManyFiles(t *testing.T) {
	if _, err := seed.Disc(make([]seed.File, 40)); err == nil {
		t.Error("forty files fit")
	}
}

func TestLinuxKitIsToldUnderBothNames(t *testing.T) {
	files, err := seed.MetadataFiles(settings, `{"ssh":{}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := []seed.File{
		{Name: "config", Content: `{"ssh":{}}`},
		{Name: "meta-data", Content: "{\n  \"instance-id\": \"lkup-db\",\n  \"local-hostname\": \"db\"\n}\n"},
		{Name: "user-data", Content: `{"ssh":{}}`},
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff)
	}
}
