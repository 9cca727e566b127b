package apt_test

import (
	"bytes"
	"strings"
	"testing"
)

func TestWhatScriptsWouldMakeIsThere(t *testing.T) {
	made := image(t, shared(t), "apt:base-passwd,ca-certificates,gawk,iptables,mawk")
	const bundle = "etc/ssl/certs/ca-certificates.crt"
	names, contents := files(t, made, bundle, "etc/passwd")
	if n := bytes.Count(contents[bundle], []byte("-----BEGIN CERTIFICATE-----\n")); n < 100 {
		t.Errorf("the bundle has %d certificates", n)
	}
	if bytes.Contains(contents[bundle], []byte("----------")) {
		t.Error("two certificates share a line")
	}
	if !bytes.HasPrefix(contents["etc/passwd"], []byte("root:")) {
		t.Errorf("etc/passwd is %q", contents["etc/passwd"])
	}
	for link, want := range map[string]string{
		"usr/bin/awk":          "gawk", // of two, the one with the higher priority
		"usr/sbin/iptables":    "iptables-nft",
		"usr/lib/ssl/cert.pem": "/" + bundle,
	} {
		if names[link] == nil || names[link].Linkname != want {
			t.Errorf("%s is %+v, not a link to %s", link, names[link], want)
		}
	}
	for name := range names {
		if strings.Contains(name, "perl") || name == "usr/sbin/adduser" {
			t.Errorf("%s is there, which only scripts use", name)
		}
	}
}

func TestAToolOfScriptsThatIsNamedIsThere(t *testing.T) {
	if names, _ := files(t, image(t, shared(t), "apt:ucf")); names["usr/bin/ucf"] == nil {
		t.Error("no usr/bin/ucf")
	}
}
