#!/usr/bin/env bash
# Everything that must hold. Two lanes run side by side: what boots machines,
# with the whole attention of the terminal, and, at low priority, what only
# costs CPU. The last lines say what failed.
set -uo pipefail
cd "$(dirname "$0")/.."

cache=${LKUP_TEST_CACHE:?set by the Makefile}
lint_version=${GOLANGCI_LINT_VERSION:?set by the Makefile}
logs=$(mktemp -d)
quiet_lane=
cleanup() {
  if [ -n "$quiet_lane" ]; then
    kill -- "-$quiet_lane" 2>/dev/null
    wait "$quiet_lane" 2>/dev/null
  fi
  rm -rf "$logs"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# stage NAME FUNCTION: runs it, keeps its output and its verdict.
stage() {
  local name=$1 began=$SECONDS status
  shift
  "$@" >"$logs/$name.log" 2>&1
  status=$?
  echo "$status $((SECONDS - began))" >"$logs/$name.status"
}

# loud NAME FUNCTION: the same, while the terminal sees the output.
loud() {
  local name=$1 began=$SECONDS status
  shift
  printf '\n== %s\n' "$name"
  "$@" 2>&1 | tee "$logs/$name.log"
  status=${PIPESTATUS[0]}
  echo "$status $((SECONDS - began))" >"$logs/$name.status"
}

gofmt_check() {
  local unformatted
  unformatted=$(gofmt -l */) || return
  [ -z "$unformatted" ] && return
  echo "not gofmt's style; run: make fmt"
  echo "$unformatted"
  return 1
}

tidy_check() { go mod tidy -diff; }

# The linter is built once for each version of it and of Go.
lint_binary() { echo "$cache/tools/golangci-lint-$lint_version-$(go env GOVERSION)/golangci-lint"; }

lint() {
  local binary
  binary=$(lint_binary)
  if [ ! -x "$binary" ]; then
    mkdir -p "$(dirname "$binary")"
    GOBIN="$(dirname "$binary").new" GOFLAGS=-buildvcs=false \
      go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$lint_version" || return
    mv "$(dirname "$binary").new/golangci-lint" "$binary"
    rmdir "$(dirname "$binary").new"
  fi
  "$binary" run ./...
}

# cross GOOS GOARCH [go command]: all of it compiles there. vet compiles the tests too.
cross() { GOOS=$1 GOARCH=$2 go "${3:-build}" ./...; }

quiet() {
  # As make builds: what it has compiled is not compiled again.
  export CGO_ENABLED=0 GOFLAGS="${GOFLAGS:+$GOFLAGS }-trimpath -buildvcs=false"
  stage vet go vet ./...
  stage tidy tidy_check
  stage cross-darwin-arm64 cross darwin arm64 vet
  stage cross-darwin-amd64 cross darwin amd64
  stage cross-linux-arm64 cross linux arm64
  stage lint lint
}

case "${1:-all}" in
  lint)
    lint
    exit
    ;;
  all) ;;
  *)
    echo "usage: $0 [all|lint]" >&2
    exit 3
    ;;
esac

stages=(fmt test vet tidy cross-darwin-arm64 cross-darwin-amd64 cross-linux-arm64 lint)

loud fmt gofmt_check
set -m # a process group of its own, so that it can be ended as a whole
(renice -n 15 "$BASHPID" >/dev/null 2>&1; quiet) &
quiet_lane=$!
set +m
# The race detector has each process sleep for a second at its end, and tests
# start many: lkup itself, and whoever is killed while it works.
export GORACE="${GORACE:-atexit_sleep_ms=10}"
# No cached results: these tests boot machines, and a boot of last week proves nothing.
loud test go test -race -count=1 -p "${TEST_PACKAGES_AT_ONCE:-2}" -timeout 40m ./...
echo
echo "== waiting for vet, tidy, cross, lint"
wait "$quiet_lane"
quiet_lane=

failed=()
printf '\n%-20s %-6s %s\n' STAGE RESULT SECONDS
for name in "${stages[@]}"; do
  read -r status seconds <"$logs/$name.status" || { status=1 seconds=0; }
  result=ok
  if [ "$status" -ne 0 ]; then
    result=FAIL
    failed+=("$name")
  fi
  printf '%-20s %-6s %s\n' "$name" "$result" "$seconds"
done
[ "${#failed[@]}" -eq 0 ] && exit 0

for name in "${failed[@]}"; do
  printf '\n== FAIL: %s, its last lines\n' "$name"
  if [ "$name" = test ]; then
    grep -E '^(\s*--- FAIL|FAIL|panic:|WARNING: DATA RACE|\S+_test\.go:[0-9]+:)' "$logs/$name.log" | tail -n 40
  else
    tail -n 40 "$logs/$name.log"
  fi
done
printf '\nFAIL: %s\n' "${failed[*]}"
exit 1
