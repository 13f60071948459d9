# What a developer types. CI runs the same targets: .ci/run.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
GO          ?= go
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME    ?= 20s
TESTFLAGS   ?=

# Where the race detector has something to find.
RACE_PACKAGES ?= ./internal/... ./bot/... ./tickets/...

.DEFAULT_GOAL := build

.PHONY: build
build: ## one static binary: ./paidan
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o paidan ./cmd/paidan

.PHONY: test
test: needs ## the whole test suite, on both databases and in a real browser
	$(GO) vet ./...
	$(GO) test $(TESTFLAGS) ./...

.PHONY: race
race: needs ## the packages with goroutines, under the race detector
	CGO_ENABLED=1 $(GO) test -race -timeout 20m $(TESTFLAGS) $(RACE_PACKAGES)

.PHONY: crash
crash: needs ## a hundred kills under load on each database
	PAIDAN_KILLS=100 $(GO) test -timeout 40m -v -run Killed ./internal/crashtest

.PHONY: fuzz
fuzz: ## each Fuzz target for FUZZTIME
	@grep -rlE --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do \
	  for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file"); do \
	    echo "fuzz $$target in $$(dirname "$$file") for $(FUZZTIME)"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
	  done; \
	done

.PHONY: bench
bench: build ## load through the real HTTP door; prints JSON
	./paidan bench

.PHONY: fmt
fmt: ## format every Go file
	gofmt -w $$(find . -name '*.go' -not -path './.git/*')

.PHONY: lint
lint: ## what .golangci.yml lists
	@command -v golangci-lint >/dev/null || { \
	  echo "golangci-lint is missing; install version 2: https://golangci-lint.run/docs/welcome/install/" >&2; exit 1; }
	golangci-lint run ./...

.PHONY: clean
clean: ## what build made
	rm -f paidan

# The tests start a PostgreSQL server of their own and open pages in Chromium.
# Both must be on the machine; as root on Debian or Ubuntu they are installed.
.PHONY: needs
needs:
	@missing=(); \
	shopt -s nullglob; \
	servers=(/usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb /opt/homebrew/opt/postgresql*/bin/initdb \
	         /usr/local/opt/postgresql*/bin/initdb /Applications/Postgres.app/Contents/Versions/*/bin/initdb); \
	if [ $${#servers[@]} -eq 0 ] && ! command -v initdb >/dev/null; then missing+=(postgresql); fi; \
	if ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null && \
	   ! command -v google-chrome >/dev/null && ! [ -d "/Applications/Google Chrome.app" ]; then missing+=(chromium); fi; \
	if [ $${#missing[@]} -eq 0 ]; then exit 0; fi; \
	if [ "$$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing $${missing[*]}"; \
	  apt-get update -qq; \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
	  exit 0; \
	fi; \
	echo "missing for the tests: $${missing[*]}" >&2; \
	echo "  Debian, Ubuntu: sudo apt-get install $${missing[*]}" >&2; \
	echo "  macOS:          brew install postgresql; brew install --cask google-chrome" >&2; \
	exit 1

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 10
