package apt

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/lkup/lkup/sources"
	"github.com/lkup/lkup/sources/store"
)

// appletLayer links busybox's applets to it, as busybox --install would do on
// a real system. It lies below the packages, so that a real tool wins.
func (c *Components) appletLayer(ctx context.Context, p Package) (sources.Digest, error) {
	key := store.Key(layerFormat, "applets", p.SHA256)
	return key, c.store.BuildLayer(ctx, key, func(w *tar.Writer) error {
		var binary []byte
		err := c.readPackage(ctx, p, func(header *tar.Header, content io.Reader) error {
			if header.Name != "usr/bin/busybox" {
				return nil
			}
			var err error
			binary, err = io.ReadAll(content)
			return err
		})
		if err != nil {
			return err
		}
		applets, err := applets(binary)
		if err != nil {
			return fmt.Errorf("package %s: %w", p.Name, err)
		}
		return writeApplets(w, applets)
	})
}

func writeApplets(w *tar.Writer, applets []string) error {
	for _, applet := range applets {
		link := tar.Header{Typeflag: tar.TypeSymlink, Name: "usr/bin/" + applet, Linkname: "busybox", Mode: 0o777}
		if slices.Contains(sbinApplets, applet) {
			link.Name, link.Linkname = "usr/sbin/"+applet, "../bin/busybox"
		}
		if err := w.WriteHeader(&link); err != nil {
			return err
		}
	}
	return nil
}

var appletName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[a-z0-9\[][a-z0-9_.+\[-]*$`)
})

// applets reads the names out of the binary, so that no code of a guest's
// architecture has to run here. Busybox keeps them in one table of strings,
// sorted, that begins with "[" and "[[" (include/applet_tables.h).
func applets(binary []byte) ([]string, error) {
	start := bytes.Index(binary, []byte("[\x00[[\x00"))
	if start < 0 {
		return nil, errors.New("no table of applets in busybox")
	}
	var names []string
	for rest := binary[start:]; ; {
		end := bytes.IndexByte(rest, 0)
		if end <= 0 {
			break
		}
		name := string(rest[:end])
		if !appletName().MatchString(name) || len(names) > 0 && name <= names[len(names)-1] {
			break
		}
		names, rest = append(names, name), rest[end+1:]
	}
	// init would take the place of the guest's own, and the binary is no
	// link to itself.
	return slices.DeleteFunc(names, func(name string) bool {
		return name == "busybox" || name == "init" || name == "linuxrc"
	}), nil
}

// sbinApplets are those that programs and the kernel look for in /sbin and
// /usr/sbin. From busybox 1.35's --list-full.
var sbinApplets = strings.Fields(`acpid adjtimex arp arping blockdev brctl chroot crond depmod devmem fdisk findfs
	freeramdisk fsfreeze fstrim getty halt httpd hwclock i2cdetect i2cdump i2cget i2cset i2ctransfer ifconfig
	ifdown ifup insmod ip ipneigh klogd loadfont loadkmap logread losetup lsmod mdev mim mkdosfs mke2fs mkswap
	modinfo modprobe nameif nologin partprobe pivot_root poweroff rdate reboot rmmod route run-init
	start-stop-daemon sulogin swapoff swapon switch_root sysctl syslogd tc telnetd tunctl ubirename udhcpc udhcpd
	uevent vconfig watchdog`)
