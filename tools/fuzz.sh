#!/usr/bin/env bash
# Runs every fuzz target of the repository for the given time each. go test
# fuzzes one target of one package at a time, so they are looked up first. Each
# new input is made smaller for a second at most: by default one minute, which
# would be all the time there is.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-60s}
while IFS=: read -r file _ declaration; do
	target=${declaration#func }
	target=${target%%(*}
	package=./$(dirname "$file")
	echo "== $package $target"
	go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1s
done < <(grep -rn --include='*_test.go' -E '^func Fuzz' . | sed 's|^\./||' | sort)
