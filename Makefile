# Commands for development and CI. "make" lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0

# Packages and extra arguments of "make test"; for example: make test PACKAGES=./events/... ARGS="-run TestFold"
PACKAGES ?= ./...
ARGS ?=
# How long each test of "make soak" runs.
SOAK ?= 10m

SERVERS := go run ./internal/testkit/testenv/run -elasticsearch --
REPORT := go run ./internal/testkit/testenv/report

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/applylens
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/applylens

.PHONY: test
test: ## run all tests, with the race detector, on real servers that it starts
	$(SERVERS) go test -json -race -count=1 -timeout=15m $(ARGS) $(PACKAGES) | $(REPORT)

.PHONY: check
check: fmt-check vet staticcheck vulncheck test ## run everything that CI runs

.PHONY: fmt
fmt: ## format the code
	gofmt -w .

.PHONY: fmt-check
fmt-check: ## fail if code is not formatted
	@unformatted=$$(gofmt -l .); \
	if [[ -n $$unformatted ]]; then printf 'not formatted (run "make fmt"):\n%s\n' "$$unformatted"; exit 1; fi

.PHONY: vet
vet: ## run go vet, with and without the build tag failpoints
	go vet ./...
	go vet -tags failpoints ./...

.PHONY: staticcheck
staticcheck: ## run staticcheck
	go run $(STATICCHECK) ./...

.PHONY: vulncheck
vulncheck: ## check for known vulnerabilities, if the vulnerability database is reachable
	@.ci/vulncheck $(GOVULNCHECK)

.PHONY: soak
soak: ## run the tests with SOAK set: the crash tests and others then run longer or search deeper
	SOAK=$(SOAK) $(SERVERS) go test -json -count=1 -timeout=0 $(ARGS) $(PACKAGES) | $(REPORT)

.PHONY: bench
bench: ## measure folds, rebuilds and latency of the real binary on real servers; for example: make bench ARGS="fold --runs 5"
	go run ./internal/testkit/testenv/run -durable -- go run ./cmd/applylens bench $(ARGS)

.PHONY: bench-go
bench-go: ## run the Go benchmarks, including those that need servers
	$(SERVERS) go test -run '^$$' -bench . -benchmem $(ARGS) $(PACKAGES)
