# Everything that is done more than once. "make" tells what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# What "make test" tests and how; for example: make test PACKAGES=./events/... ARGS="-run TestFold"
PACKAGES ?= ./...
ARGS ?=
# How long a test of "make soak" goes on.
SOAK ?= 10m

SERVERS := go run ./internal/testkit/testenv/run -elasticsearch --
REPORT := go run ./internal/testkit/testenv/report

.PHONY: help
help: ## tell what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/applylens
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/applylens

.PHONY: test
test: ## run all tests, with the race detector, on real servers that it starts itself
	$(SERVERS) go test -json -race -count=1 -timeout=15m $(ARGS) $(PACKAGES) | $(REPORT)

.PHONY: check
check: fmt-check vet staticcheck vulncheck test ## do what CI does

.PHONY: fmt
fmt: ## format the code
	gofmt -w .

.PHONY: fmt-check
fmt-check: ## fail when code is not formatted
	@unformatted=$$(gofmt -l .); \
	if [[ -n $$unformatted ]]; then printf 'not formatted (run "make fmt"):\n%s\n' "$$unformatted"; exit 1; fi

.PHONY: vet
vet: ## look for mistakes with go vet, in both builds
	go vet ./...
	go vet -tags failpoints ./...

.PHONY: staticcheck
staticcheck: ## look for mistakes and dead code with staticcheck
	go run $(STATICCHECK) ./...

.PHONY: vulncheck
vulncheck: ## look for known vulnerabilities, where their database can be reached
	@.ci/vulncheck $(GOVULNCHECK)

.PHONY: soak
soak: ## run the tests that go on or go deeper when SOAK=10m is set, such as those that kill everything
	SOAK=$(SOAK) $(SERVERS) go test -json -count=1 -timeout=0 $(ARGS) $(PACKAGES) | $(REPORT)

.PHONY: bench
bench: ## measure folds, rebuilds and delays of the real binary on real servers; for example: make bench ARGS="fold --runs 5"
	go run ./internal/testkit/testenv/run -durable -- go run ./cmd/applylens bench $(ARGS)

.PHONY: bench-go
bench-go: ## run the Go benchmarks, also those that need servers
	$(SERVERS) go test -run '^$$' -bench . -benchmem $(ARGS) $(PACKAGES)
