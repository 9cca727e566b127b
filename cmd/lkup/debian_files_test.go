package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// debianFiles are what packages' scripts and an installer would have made.
var debianFiles = map[string]string{
	"etc/fstab":                               "/dev/vda1 / ext4 errors=remount-ro 0 0\n",
	"etc/hostname":                            "debian\n",
	"etc/hosts":                               "127.0.0.1 localhost\n",
	"etc/machine-id":                          "0123456789abcdef0123456789abcdef\n",
	"etc/nsswitch.conf":                       "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
	"etc/pam.d/common-auth":                   "auth required pam_unix.so\n",
	"etc/pam.d/common-account":                "account required pam_unix.so\n",
	"etc/pam.d/common-password":               "password required pam_unix.so\n",
	"etc/pam.d/common-session":                "session required pam_unix.so\n",
	"etc/pam.d/common-session-noninteractive": "session required pam_unix.so\n",
	"etc/cloud/cloud.cfg.d/90_image.cfg":      "datasource_list: [NoCloud]\n",
}

// debianUnits are enabled: the target that wants each. cloud-init's last two
// stages are left out. Nothing of lkup's is done in them, and they take an
// emulated guest half a minute.
var debianUnits = map[string]string{
	"ssh.service": "multi-user.target", "systemd-networkd.service": "multi-user.target", "systemd-resolved.service": "multi-user.target",
	"cloud-init-local.service": "cloud-init.target", "cloud-init.service": "cloud-init.target",
}

// debianMasked are units that only take an emulated guest's time.
var debianMasked = []string{
	"apparmor.service", "systemd-binfmt.service", "proc-sys-fs-binfmt_misc.automount", "systemd-hwdb-update.service", "systemd-journal-catalog-update.service",
	"systemd-update-done.service", "ldconfig.service", "systemd-pcrphase.service", "systemd-pcrphase-sysinit.service", "systemd-update-utmp.service", "systemd-update-utmp-runlevel.service",
	"e2scrub_reap.service", "getty.target", "serial-getty@ttyS0.service", "dev-hugepages.mount", "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount",
	"cloud-init-hotplugd.socket", "kmod-static-nodes.service", "modprobe@configfs.service", "modprobe@dm_mod.service", "modprobe@drm.service", "modprobe@fuse.service",
	"modprobe@loop.service", "modprobe@efi_pstore.service", "sys-kernel-config.mount", "sys-fs-fuse-connections.mount", "systemd-random-seed.service", "systemd-sysctl.service",
}

// debianAccounts are what packages' scripts make.
var debianAccounts = []string{"sshd:100", "messagebus:101", "systemd-network:998", "systemd-resolve:997"}

func (d *debian) configure(context.Context) error {
	for name, content := range debianFiles {
		if err := d.write(name, content, 0o644); err != nil {
			return err
		}
	}
	for _, copied := range [][2]string{{"usr/share/openssh/sshd_config", "etc/ssh/sshd_config"}, {"usr/share/base-files/profile", "etc/profile"}} {
		content, err := os.ReadFile(filepath.Join(d.tree, copied[0]))
		if err != nil {
			return err
		}
		if err := d.write(copied[1], string(content), 0o644); err != nil {
			return err
		}
	}
	for unit, target := range debianUnits {
		if err := d.link("/lib/systemd/system/"+unit, "etc/systemd/system/"+target+".wants/"+unit); err != nil {
			return err
		}
	}
	for _, unit := range debianMasked {
		if err := d.link("/dev/null", "etc/systemd/system/"+unit); err != nil {
			return err
		}
	}
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "root", "home", "mnt", "var/log", "var/tmp", "var/lib/dbus"} {
		if err := os.MkdirAll(filepath.Join(d.tree, dir), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(os.Chmod(filepath.Join(d.tree, "tmp"), 0o777|os.ModeSticky), os.Chmod(filepath.Join(d.tree, "root"), 0o700),
		d.link("/run", "var/run"), d.link("../run/systemd/resolve/stub-resolv.conf", "etc/resolv.conf"), d.link("/usr/lib/systemd/systemd", "usr/sbin/init"), d.accounts())
}

// accounts adds those of the packages, and the file of passwords.
func (d *debian) accounts() error {
	users, err := os.ReadFile(filepath.Join(d.tree, "etc/passwd"))
	if err != nil {
		return err
	}
	groups, err := os.ReadFile(filepath.Join(d.tree, "etc/group"))
	if err != nil {
		return err
	}
	for _, account := range debianAccounts {
		name, id, _ := strings.Cut(account, ":")
		users = fmt.Appendf(users, "%s:x:%s:%s::/nonexistent:/usr/sbin/nologin\n", name, id, id)
		groups = fmt.Appendf(groups, "%s:x:%s:\n", name, id)
	}
	for id, name := range []string{"systemd-journal", "input", "kvm", "render", "sgx"} {
		groups = fmt.Appendf(groups, "%s:x:%d:\n", name, 900+id)
	}
	users = bytes.ReplaceAll(users, []byte(":*:"), []byte(":x:"))
	var shadow strings.Builder
	for line := range strings.Lines(string(users)) {
		name, _, _ := strings.Cut(line, ":")
		fmt.Fprintf(&shadow, "%s:*:19700:0:99999:7:::\n", name)
	}
	return errors.Join(d.write("etc/passwd", string(users), 0o644), d.write("etc/group", string(groups), 0o644),
		d.write("etc/shadow", shadow.String(), 0o640), d.write("etc/gshadow", "", 0o640))
}

func (d *debian) write(name, content string, mode os.FileMode) error {
	path := filepath.Join(d.tree, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode))
}

func (d *debian) link(target, name string) error {
	path := filepath.Join(d.tree, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(path); err != nil {
		return err
	}
	return os.Symlink(target, path)
}

// initrdScript finds the root, as Debian's own initrd does at greater length.
const initrdScript = `#!/bin/busybox sh
/bin/busybox mkdir -p /dev /proc /sys /root
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
for m in crc32c_generic virtio_pci virtio_blk ext4; do /bin/busybox modprobe $m; done
until [ -b /dev/vda1 ]; do /bin/busybox usleep 10000; done
/bin/busybox mount -t ext4 /dev/vda1 /root
for d in dev proc sys; do /bin/busybox mount --move /$d /root/$d; done
exec /bin/busybox switch_root /root /sbin/init
`

// initrd makes the small file system that loads the root's drivers.
func (d *debian) initrd(context.Context) error {
	var b bytes.Buffer
	a := newcArchive{&b}
	a.add("init", 0o100755, []byte(initrdScript))
	for _, dir := range []string{"bin", "lib", "lib/modules", "lib/modules/" + d.version} {
		a.add(dir, 0o040755, nil)
	}
	if err := d.parts["shell"].layers(a.busybox); err != nil {
		return err
	}
	if err := d.modules(a); err != nil {
		return err
	}
	a.add("TRAILER!!!", 0, nil)
	return d.write("boot/initrd.img", b.String(), 0o644)
}

// modules adds all modules with their folders: they are few.
func (d *debian) modules(a newcArchive) error {
	root := filepath.Join(d.tree, "usr")
	return filepath.WalkDir(filepath.Join(root, "lib/modules", d.version), func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || entry.IsDir() {
			a.add(name, 0o040755, nil)
			return err
		}
		content, err := os.ReadFile(path)
		a.add(name, 0o100644, content)
		return err
	})
}

// newcArchive is a cpio archive as the kernel unpacks it.
type newcArchive struct{ b *bytes.Buffer }

func (a newcArchive) add(name string, mode int, content []byte) {
	fmt.Fprintf(a.b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", a.b.Len(), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	a.b.WriteString(name + "\x00")
	a.pad()
	a.b.Write(content)
	a.pad()
}

func (a newcArchive) pad() { a.b.Write(make([]byte, -a.b.Len()&3)) }

func (a newcArchive) busybox(h *tar.Header, content io.Reader) error {
	if filepath.Clean(h.Name) != "usr/bin/busybox" || h.Typeflag != tar.TypeReg {
		return nil
	}
	program, err := io.ReadAll(content)
	a.add("bin/busybox", 0o100755, program)
	return err
}
