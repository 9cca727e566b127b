package seed

import "github.com/lkup/lkup/guest"

// mountVolume finds a disk by its serial number and mounts it: $1 is that, $2
// the place, $3 the access. A disk that cannot be written to may have a journal
// that is not empty. The file system grows with its disk where the image can do
// that. What could not be done stands on the console, where lkup waits for it.
var mountVolume = `mountpoint -q "$2" && exit
for s in /sys/block/*/serial; do
  [ "$(cat "$s")" = "$1" ] && d=/dev/$(basename "${s%/serial}")
done
mkdir -p "$2"
if [ -z "$d" ]; then
  m="no disk has this serial number"
elif m=$(mount -t ext4 -o "$3" "$d" "$2" 2>&1); then
  [ "$3" = ro ] || resize2fs "$d" >/dev/null 2>&1
  exit
elif [ "$3" = ro ] && mount -t ext4 -o ro,noload "$d" "$2"; then
  exit
fi
echo "` + guest.Unmounted(guest.VolumeNamed+"$1", "$m") + `" >/dev/console`

// mountShare mounts a share: $1 is its tag, $2 the place, $3 the options, $4 the
// file system.
var mountShare = `mountpoint -q "$2" && exit
mkdir -p "$2"
m=$(mount -t "$4" -o "$3" "$1" "$2" 2>&1) || echo "` + guest.Unmounted(guest.ShareAt+"$2", "$m") + `" >/dev/console`

// shareOptions are those of lkup's own init.
const shareOptions = "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,access=any"

// mountCommands are commands that mount volumes and shares.
func mountCommands(c guest.Config) [][]string {
	var all [][]string
	for _, v := range c.Volumes {
		all = append(all, []string{"sh", "-c", mountVolume, "lkup", v.Name, v.Path, access(v.ReadOnly)})
	}
	for _, s := range c.Shares {
		command := []string{"sh", "-c", mountShare, "lkup", s.Tag, s.Path, access(s.ReadOnly) + "," + shareOptions, "9p"}
		if s.Virtiofs {
			command = append(command[:6], access(s.ReadOnly), "virtiofs")
		}
		all = append(all, command)
	}
	return all
}

func access(readOnly bool) string {
	if readOnly {
		return "ro"
	}
	return "rw"
}
