#!/usr/bin/env bash
# The recording in README.md, made anew from one real run of examples/hello on
# this computer. Writes it to standard output; with a file, between that file's
# marks. Best on an idle computer: the times are part of it.
set -euo pipefail
cd "$(dirname "$0")/.."
lkup=$PWD/bin/lkup
work=$(mktemp -d)
export LKUP_STATE_DIR=$work/state LKUP_RUNTIME_DIR=$work/run
end() {
  local status=$?
  if [ "$status" -ne 0 ]; then
    cat "$work/recording" >&2
    echo "record: the last command failed; nothing was written" >&2
  fi
  (cd "$work/hello" && "$lkup" down -y) >/dev/null 2>&1
  rm -rf "$work"
  exit "$status"
}
trap end EXIT
cp -r examples/hello "$work/hello"
mkdir "$work/bin"
ln -s "$lkup" "$work/bin/lkup"
PATH=$work/bin:$PATH

# say COMMAND [FILTER]: a command as it is typed, and what it printed.
say() {
  printf '$ %s\n' "$1"
  (cd "$work/hello" && bash -o pipefail -c "$1" 2>&1) | ${2:-cat}
  echo
}

# Of several machines that are made alike, one is shown in full.
one_in_full() {
  awk '/^vm\.web.*: / && !/: (creating|created|ready)/ { if (!cut++) print "..."; next } { print }'
}

# The plan was shown before.
no_plan() { awk 'done { print } /^Plan: /{ done = 1; print "..." }' | one_in_full; }

kvm="without KVM"
grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ] && kvm="with KVM"
record() {
  # shellcheck disable=SC2016 # backquotes are Markdown's
  printf 'A run of [examples/hello](examples/hello) on %s cores %s, its image built before, shortened where it says `...`:\n\n```console\n' "$(nproc)" "$kvm"
  {
    say 'lkup apply -y' one_in_full
    say 'lkup ps'
    say 'curl -s $(lkup output greeting)'
    say "sed -i '18s/var.memory/\"384MiB\"/' lkup.hcl"
    say 'lkup plan'
    say 'lkup apply -y' no_plan
    say 'lkup exec web-blue -- uname -r'
    say 'lkup down -y' no_plan
  } | cat -s | sed '$ { /^$/d }'
  printf '```\n'
}

# What is built by then is not part of it.
(cd "$work/hello" && "$lkup" apply -y && "$lkup" down -y) >"$work/recording" 2>&1
record >"$work/recording"
if [ $# -eq 0 ]; then
  cat "$work/recording"
  exit
fi
awk -v new="$work/recording" '
  /^<!-- end of recording -->/ { inside = 0 }
  !inside { print }
  /^<!-- recording:/ { inside = 1; while ((getline line < new) > 0) print line }
' "$1" >"$work/whole"
cat "$work/whole" >"$1"
