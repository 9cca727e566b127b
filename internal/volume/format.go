package volume

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/lkup/lkup/drivers"
	"github.com/lkup/lkup/spec"
)

// features are those of the file systems that lkup makes, whatever the host's
// mke2fs would choose: what every kernel since 4.4 can mount and grow.
const features = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg," +
	"sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum"

// labelLength is how long the name of an ext4 file system may be, in bytes.
const labelLength = 16

// Format makes the disk of a volume with an empty ext4 file system of its size.
// A disk that is there is left alone if it holds one; a blank one is replaced;
// one that holds anything else is an error. The same volume and id give the
// same bytes.
func (d Disks) Format(ctx context.Context, v drivers.Volume, id string) error {
	content, err := d.Look(ctx, v.Path, v.Format)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && content == Blank:
	case err != nil:
		return fmt.Errorf("look at volume %s: %w", v.Name, err)
	case content == Ext4:
		return nil
	default:
		return fmt.Errorf("volume %s holds %s, which is no ext4 file system, and lkup formats only what is empty; take \"path\" out of its mount to have it as a plain disk, or mount another volume", v.Name, content)
	}
	if v.Size < spec.LeastFileSystem {
		return fmt.Errorf("volume %s has %d MiB, and a file system needs %d; write a larger size, or take \"path\" out of its mount", v.Name, v.Size, spec.LeastFileSystem)
	}
	if err := d.format(ctx, v, id); err != nil {
		return fmt.Errorf("format volume %s: %w", v.Name, err)
	}
	return nil
}

func (d Disks) format(ctx context.Context, v drivers.Volume, id string) error {
	program, err := d.Formatter()
	if err != nil {
		return err
	}
	raw := v.Path + ".format"
	defer os.Remove(raw) // gone if it became the disk
	if err := empty(raw, int64(v.Size)*mib); err != nil {
		return err
	}
	name := uuid(id)
	// Its own configuration and the time are kept from it; the disk is all
	// zeros, so neither tables nor journal are to be zeroed.
	env := []string{"MKE2FS_CONFIG=/dev/null", "E2FSPROGS_FAKE_TIME=1767225600"}
	err = run(ctx, env, program, "-q", "-F", "-b", "4096", "-I", "256", "-m", "0", "-L", v.Name[:min(len(v.Name), labelLength)], "-U", name,
		"-O", features, "-E", "hash_seed="+name+",lazy_itable_init=0,lazy_journal_init=1,nodiscard,root_owner=0:0", raw)
	if err != nil {
		return err
	}
	whole := raw
	if v.Format != "raw" {
		whole = v.Path + ".part"
		if err := d.image(ctx, "convert", "-q", "-f", "raw", "-O", v.Format, raw, whole); err != nil {
			return err
		}
	}
	return settle(whole, v.Path)
}

// uuid is made of a volume's ID.
func uuid(id string) string {
	sum := sha256.Sum256([]byte("lkup volume " + id))
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // version 8: of our own making
	text := hex.EncodeToString(sum[:16])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}

// empty makes a file of zeros that takes no space yet.
func empty(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Close())
}

// settle gives a file that is whole its name, once it is on the disk.
func settle(whole, path string) error {
	f, err := os.OpenFile(whole, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(whole, path)
}
