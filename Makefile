# lkup. On a fresh Debian or Ubuntu machine with Go and make:
#
#   make demo    installs what is missing, builds, boots examples/hello, fetches its page
#   make test    everything: unit tests, laws, the driver suite on real QEMU, end to end

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := build

GOLANGCI_LINT_VERSION := v2.15.0
# Survives a clean checkout: what it holds is named by digest or version.
LKUP_TEST_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lkup-test
export GOLANGCI_LINT_VERSION LKUP_TEST_CACHE

# A release is its tag; what lies between names its commit, as far as git can say.
VERSION := $(shell v=$$(git describe --tags --dirty --match 'v*' 2>/dev/null) && echo $${v\#v} || \
	echo 0.1.0-dev$$(git describe --always --dirty=.dirty 2>/dev/null | sed 's/^/+/'))
LDFLAGS := -s -w -X main.version=$(VERSION)
# No cgo: lkup and its guest share one compiled standard library, and need no libc.
GO_BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false
GUEST_ARCHS ?= amd64 arm64
SHA256 := $(if $(shell command -v sha256sum),sha256sum,shasum -a 256)

.PHONY: build guest demo test fuzz bench record lint fmt cross deps clean help

## build: the guest's init for both architectures, then bin/lkup
build: guest
	$(GO_BUILD) -ldflags '$(LDFLAGS)' -o bin/lkup ./cmd/lkup

# The go command knows what is up to date; it relinks nothing without need.
guest: $(addprefix guest-,$(GUEST_ARCHS))

guest-%:
	GOOS=linux GOARCH=$* $(GO_BUILD) -ldflags '-s -w' -o guest/embedded/lkup-init-linux-$* ./guest/lkup-init
	@cd guest/embedded && $(SHA256) lkup-init-linux-$* | cut -c-64 > lkup-init-linux-$*.sha256

## demo: boot examples/hello, fetch its page, take it down (KEEP=1 leaves it up)
demo:
	@tools/deps.sh demo
	@$(MAKE) --no-print-directory build GUEST_ARCHS=$$(go env GOHOSTARCH)
	@tools/demo.sh

## test: everything that must hold; what .ci/run calls
test:
	@tools/deps.sh test
	@$(MAKE) --no-print-directory build
	@tools/test.sh

## fuzz: every fuzz target for FUZZTIME (60s); what one finds is kept as a seed
FUZZTIME ?= 60s
fuzz: guest-$(shell go env GOHOSTARCH)
	@tools/fuzz.sh $(FUZZTIME)

## bench: apply against bare QEMU, plan of thousands of VMs, watch of 10,000 files; ratios from one run
bench:
	@tools/deps.sh demo
	@$(MAKE) --no-print-directory build
	@go run ./internal/bench

## record: the run in README.md, made anew on this computer; best on an idle one
record: build
	@tools/record.sh README.md

## lint: golangci-lint, built once from the module proxy
lint:
	@tools/test.sh lint

## fmt: gofmt for Go, lkup fmt for the examples
fmt: build
	gofmt -w */
	for stack in examples/*/; do bin/lkup fmt $$stack || exit; done

## cross: lkup for the other hosts, below bin/
cross: guest
	GOOS=darwin GOARCH=arm64 $(GO_BUILD) -ldflags '$(LDFLAGS)' -o bin/lkup-darwin-arm64 ./cmd/lkup
	GOOS=darwin GOARCH=amd64 $(GO_BUILD) -ldflags '$(LDFLAGS)' -o bin/lkup-darwin-amd64 ./cmd/lkup
	GOOS=linux GOARCH=arm64 $(GO_BUILD) -ldflags '$(LDFLAGS)' -o bin/lkup-linux-arm64 ./cmd/lkup

## deps: install what demo and test need, through the system's package manager
deps:
	@tools/deps.sh test

## clean: remove what make built here; caches and machines stay
clean:
	rm -rf bin
	rm -f guest/embedded/lkup-init-*

## help: this list
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)
