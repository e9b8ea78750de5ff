# Everything a person types, and nothing else. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X drover/internal/version.Version=$(VERSION)
GOTEST  := go test -race -timeout 15m
# As the programs are built, so that what is compiled for one serves the other.
GOPLAIN := CGO_ENABLED=0 GOFLAGS=-trimpath

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## bin/drover and bin/drover-agent
	@echo "==> building drover-agent"; CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/drover-agent ./cmd/drover-agent
	@echo "==> building drover (the first time takes some minutes: etcd is compiled)"; CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/drover ./cmd/drover

.PHONY: console
console: build ## the web console, built into bin/drover (brings Node where none is)
	@internal/console/build

.PHONY: console-test
console-test: console ## the console's types, logic, pages in a real browser
	@test/prepare
	@internal/console/test

.PHONY: shots
shots: console ## every page of the console in every state as a picture (ACCEPT=1: from now on right; PAGES=fleet,host: these)
	@test/prepare
	@ACCEPT=$(ACCEPT) PAGES=$(PAGES) internal/console/test states

.PHONY: demo
demo: console ## a server and three real hosts, converged from examples/web, and the web console
	@examples/demo/up

.PHONY: demo-down
demo-down: ## stop the demo and remove what it made
	@examples/demo/down

.PHONY: test
test: ## rings 1 to 3: pure, conformance, a fleet in one process
	@test/prepare
	$(GOTEST) ./...
	@echo "rings 1 to 3 passed; ring 4, on real hosts, as root: make lab-test"

.PHONY: lab-test
lab-test: build ## ring 4: real Debian hosts on this machine, as root
	@test/prepare
	DROVER_LAB=1 $(GOPLAIN) go test -count=1 -timeout 25m -v ./test/lab/...

.PHONY: lint
lint: ## gofmt, vet and staticcheck
	@bad=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$bad" ] || { echo "not formatted: $$bad"; exit 1; }
	$(GOPLAIN) go vet ./...
	$(GOPLAIN) go tool staticcheck ./...

.PHONY: vuln
vuln: ## known vulnerabilities in what is linked, where the database can be reached
	@go tool govulncheck ./... || { s=$$?; [ $$s = 3 ] && exit 1; echo "govulncheck could not reach its database"; }

.PHONY: deps
deps: ## write deps.txt anew: the modules that each program links
	go test -run TestDeps . -update

.PHONY: fuzz
fuzz: ## every fuzz target for a minute (FUZZTIME=10m for longer)
	@test/fuzz $(or $(FUZZTIME),1m)

.PHONY: bench
bench: build ## every benchmark, one after the other; see bench/README.md
	@for b in bench/*/run; do echo "==> $$b"; $$b || exit 1; done

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
