package apt

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// scriptTools are packages that only maintainer scripts use. Packages depend
// on them, and through them on perl and more; no script runs, so they are left
// out unless they are named.
var scriptTools = []string{"adduser", "debconf", "init-system-helpers", "ucf"}

// statusText is a package database in which scriptTools are installed, but for
// those that are named.
func statusText(named []string) string {
	var text strings.Builder
	for _, tool := range scriptTools {
		if slices.ContainsFunc(named, func(name string) bool { name, _, _ = strings.Cut(name, "="); return name == tool }) {
			continue
		}
		fmt.Fprintf(&text, "Package: %s\nStatus: install ok installed\nArchitecture: all\nMulti-Arch: foreign\nVersion: 999999\n", tool)
		if tool == "debconf" {
			text.WriteString("Provides: debconf-2.0\n")
		}
		text.WriteString("Maintainer: nobody\nDescription: left out\n\n")
	}
	return text.String()
}

// made is what packages' maintainer scripts would make on a real system and
// programs rely on. No script runs, so what is known of them is made here: the
// bundle of certificates, the accounts, the links of update-alternatives, and what
// has PHP load its modules.
type made struct {
	files map[string][]byte
	links map[string]string
}

// scriptsOf are the packages whose scripts matter here.
func scriptsOf(packages []Package) []Package {
	return slices.DeleteFunc(slices.Clone(packages), func(p Package) bool {
		known := slices.ContainsFunc(alternatives, func(a alternative) bool { return a.pkg == p.Name })
		return !known && p.Name != "ca-certificates" && p.Name != "base-passwd" && !phpPackage.MatchString(p.Name)
	})
}

// scriptLayer gives the layer of what scripts would make. It lies above the
// packages, as scripts run after they are unpacked. ok is false if there is
// nothing to make.
func (c *Components) scriptLayer(ctx context.Context, m manifest) (key sources.Digest, ok bool, err error) {
	packages := scriptsOf(m.Packages)
	if len(packages) == 0 {
		return "", false, nil
	}
	inputs := []string{scriptFormat}
	for _, p := range packages {
		inputs = append(inputs, p.SHA256)
	}
	key = store.Key(inputs...)
	return key, true, c.store.BuildLayer(ctx, key, func(w *tar.Writer) error {
		all := made{files: map[string][]byte{}, links: map[string]string{}}
		present := map[string]bool{}
		for _, p := range packages {
			if err := c.readPackage(ctx, p, func(h *tar.Header, content io.Reader) error {
				present[h.Name] = true
				return all.take(p.Name, h, content)
			}); err != nil {
				return err
			}
		}
		all.alternatives(present)
		all.phpLinks(packages, present)
		return all.write(w)
	})
}

// scriptFormat changes when the same packages come to have other files made.
const scriptFormat = "apt-scripts/1"

const certificates = "etc/ssl/certs/ca-certificates.crt"

// take looks at a packaged file.
func (m made) take(pkg string, h *tar.Header, content io.Reader) error {
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	switch {
	case pkg == "ca-certificates" && strings.HasPrefix(h.Name, "usr/share/ca-certificates/") && strings.HasSuffix(h.Name, ".crt"):
		certificate, err := io.ReadAll(content)
		m.files[certificates] = append(append(m.files[certificates], bytes.TrimSpace(certificate)...), '\n')
		// OpenSSL itself, and Python with it, look there and not into the bundle.
		m.links["usr/lib/ssl/cert.pem"] = "/" + certificates
		return err
	case pkg == "base-passwd" && path.Ext(h.Name) == ".master":
		accounts, err := io.ReadAll(content)
		m.files["etc/"+strings.TrimSuffix(path.Base(h.Name), ".master")] = accounts
		return err
	}
	if at, known := phpFile(h.Name); known {
		settings, err := io.ReadAll(content)
		m.files[at] = settings
		return err
	}
	return nil
}

// alternatives makes the links of the packages that are present, where the
// package has what the link leads to and not the name itself.
func (m made) alternatives(present map[string]bool) {
	for _, a := range alternatives {
		if target := path.Join(path.Dir(a.link), a.target); present[target] && !present[a.link] {
			m.links[a.link] = a.target
		}
	}
}

func (m made) write(w *tar.Writer) error {
	for _, name := range sortedKeys(m.files) {
		if err := writeEntry(w, name, m.files[name]); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(m.links) {
		link := tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: m.links[name], Mode: 0o777}
		if err := w.WriteHeader(&link); err != nil {
			return err
		}
	}
	return nil
}

// alternative is a link that a package's script has update-alternatives make.
type alternative struct{ pkg, link, target string }

// alternatives are those of Debian 12 that programs look for, of which a later
// one has the higher priority, as in the packages' scripts. Manual pages have
// links too, which are left out as the pages are.
var alternatives = []alternative{
	{"mawk", "usr/bin/awk", "mawk"},
	{"mawk", "usr/bin/nawk", "mawk"},
	{"gawk", "usr/bin/awk", "gawk"},
	{"gawk", "usr/bin/nawk", "gawk"},
	{"gcc", "usr/bin/cc", "gcc"},
	{"gcc", "usr/bin/c89", "c89-gcc"},
	{"gcc", "usr/bin/c99", "c99-gcc"},
	{"g++", "usr/bin/c++", "g++"},
	{"clang", "usr/bin/cc", "clang"},
	{"clang", "usr/bin/c++", "clang++"},
	{"debianutils", "usr/bin/which", "which.debianutils"},
	{"procps", "usr/bin/w", "w.procps"},
	{"less", "usr/bin/pager", "less"},
	{"xz-utils", "usr/bin/lzma", "xz"},
	{"xz-utils", "usr/bin/unlzma", "unxz"},
	{"xz-utils", "usr/bin/lzcat", "xzcat"},
	{"netcat-traditional", "usr/bin/nc", "nc.traditional"},
	{"netcat-openbsd", "usr/bin/nc", "nc.openbsd"},
	{"vim-tiny", "usr/bin/vi", "vim.tiny"},
	{"vim-tiny", "usr/bin/editor", "vim.tiny"},
	{"vim", "usr/bin/vi", "vim.basic"},
	{"vim", "usr/bin/vim", "vim.basic"},
	{"vim", "usr/bin/editor", "vim.basic"},
	{"nano", "usr/bin/editor", "nano"},
	{"iptables", "usr/sbin/iptables", "iptables-legacy"},
	{"iptables", "usr/sbin/iptables-save", "iptables-legacy-save"},
	{"iptables", "usr/sbin/iptables-restore", "iptables-legacy-restore"},
	{"iptables", "usr/sbin/ip6tables", "ip6tables-legacy"},
	{"iptables", "usr/sbin/ip6tables-save", "ip6tables-legacy-save"},
	{"iptables", "usr/sbin/ip6tables-restore", "ip6tables-legacy-restore"},
	{"iptables", "usr/sbin/iptables", "iptables-nft"},
	{"iptables", "usr/sbin/iptables-save", "iptables-nft-save"},
	{"iptables", "usr/sbin/iptables-restore", "iptables-nft-restore"},
	{"iptables", "usr/sbin/ip6tables", "ip6tables-nft"},
	{"iptables", "usr/sbin/ip6tables-save", "ip6tables-nft-save"},
	{"iptables", "usr/sbin/ip6tables-restore", "ip6tables-nft-restore"},
}
