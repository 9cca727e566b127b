#!/usr/bin/env bash
# Installs what `make demo` and `make test` need and this computer lacks,
# through the system's package manager. Does nothing, quickly, when all is there.
set -euo pipefail

case "$(uname -m)" in
  x86_64 | amd64) qemu=qemu-system-x86_64 deb=qemu-system-x86 ;;
  aarch64 | arm64) qemu=qemu-system-aarch64 deb=qemu-system-arm ;;
  *)
    echo "deps: lkup runs on x86-64 and arm64, not on $(uname -m)" >&2
    exit 1
    ;;
esac

# command:Debian package
needs=("$qemu:$deb" "ssh:openssh-client")
if [ "${1:-demo}" = test ]; then
  needs+=("gcc:gcc" "git:git") # the race detector is C; the version comes from git
  needs+=("sqfstar:squashfs-tools")
  needs+=("qemu-system-aarch64:qemu-system-arm") # a guest of another architecture
  [ "$(uname -s)-$(id -u)" != Linux-0 ] || needs+=("ip:iproute2") # an address to reach from guests
fi

missing=() packages=()
for need in "${needs[@]}"; do
  command -v "${need%%:*}" >/dev/null && continue
  missing+=("${need%%:*}")
  packages+=("${need##*:}")
done
# qemu-img has no use in the plain path, but disk images do need it.
if ! command -v qemu-img >/dev/null; then
  missing+=(qemu-img)
  packages+=(qemu-utils)
fi
# Volumes are formatted with it; it lies where only root's path leads.
if ! command -v mke2fs >/dev/null && [ ! -x /usr/sbin/mke2fs ] && [ ! -x /sbin/mke2fs ]; then
  missing+=(mke2fs)
  packages+=(e2fsprogs)
fi
# Disks for EFI are booted by its firmware.
if [ "${1:-demo}" = test ] && [ "$qemu" = qemu-system-x86_64 ] && [ ! -e /usr/share/ovmf/OVMF.fd ]; then
  missing+=(OVMF)
  packages+=(ovmf)
fi
# Downloads through apt and the Go module proxy are HTTPS.
if command -v apt-get >/dev/null && [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then
  missing+=("certificates")
  packages+=(ca-certificates)
fi
[ "${#missing[@]}" -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "deps: missing: ${missing[*]}" >&2
  case "$(uname -s)" in
    Darwin) echo "deps: install it with: brew install qemu" >&2 ;;
    *) echo "deps: install QEMU with this system's package manager; lkup doctor says what is missing" >&2 ;;
  esac
  exit 1
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "deps: missing: ${missing[*]}" >&2
    echo "deps: neither root nor sudo: let an administrator type: apt-get install --no-install-recommends ${packages[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
  # On a terminal sudo may ask for a password; elsewhere it must not wait for one.
  [ -t 0 ] || as_root=(sudo -n)
fi

run_apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -y -q -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
echo "deps: installing ${packages[*]} (missing: ${missing[*]})"
if ! { run_apt update && run_apt install --no-install-recommends "${packages[@]}"; } >"$log" 2>&1 </dev/null; then
  tail -n 30 "$log" >&2
  echo "deps: could not install ${packages[*]}" >&2
  exit 1
fi
