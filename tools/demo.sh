#!/usr/bin/env bash
# Applies examples/hello, fetches its page from the host and takes it down.
# KEEP=1 leaves it up. Uses nothing but bash and bin/lkup.
set -euo pipefail
cd "$(dirname "$0")/.."

lkup=bin/lkup
stack=examples/hello

say() { printf '\n$ %s\n' "$*"; }

run() {
  say "$@"
  "$@"
}

take_down() {
  local status=$?
  trap - EXIT
  if [ "$status" -ne 0 ]; then
    printf '\nmake demo stopped with status %s; taking the machines down\n' "$status" >&2
  fi
  run "$lkup" down -y -C "$stack" || status=1
  exit "$status"
}

# page URL: the body, by HTTP/1.0 over bash's own sockets, because a bare
# machine may have no curl.
page() {
  local rest=${1#http://} authority host port path line
  authority=${rest%%/*} path=/${rest#*/}
  [ "$rest" = "$authority" ] && path=/
  host=${authority%%:*} port=${authority##*:}
  exec 3<>"/dev/tcp/$host/$port"
  printf 'GET %s HTTP/1.0\r\nHost: %s\r\n\r\n' "$path" "$authority" >&3
  IFS= read -r line <&3
  case "$line" in
    *" 200 "*) ;;
    *)
      echo "GET $1: $line" >&2
      return 1
      ;;
  esac
  while IFS= read -r line <&3 && [ "$line" != $'\r' ]; do :; done
  cat <&3
  exec 3>&-
}

[ "${KEEP:-}" = 1 ] || trap take_down EXIT

run "$lkup" apply -y -C "$stack"
run "$lkup" ps -C "$stack"

url=$("$lkup" output url -C "$stack")
say "curl $url"
body=$(page "$url")
printf '%s\n' "$body"
case "$body" in
  *"served from a virtual machine"*) ;;
  *)
    echo "the page at $url is not the one in $stack/site" >&2
    exit 1
    ;;
esac

if [ "${KEEP:-}" = 1 ]; then
  cat <<END

It stays up. Try:
  $lkup plan -C $stack                 nothing to do
  $lkup ssh web-blue -C $stack         a shell inside
  edit $stack/site/index.html, then reload $url
  $lkup down -C $stack                 take it away
END
fi
