# costprof needs Go and a C/C++ compiler, nothing else: DuckDB comes as a static
# library through Go modules. Everything here is also plain Go: `go build ./...`
# and `go test ./...` work as they are.

.DEFAULT_GOAL := help
export CGO_ENABLED := 1

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
# Everything is built with the flags of the program, so that nothing is built twice.
export GOFLAGS := $(strip $(shell $(GO) env GOFLAGS 2>/dev/null) -trimpath)
TOOL    := $(GO) tool -modfile=tools/go.mod
ARGS    ?=

# Packages in which goroutines meet; `make test` runs them under the race
# detector too.
RACE := ./client ./internal/ingest ./internal/rating ./internal/live ./internal/limit ./internal/auth ./internal/app ./internal/prompts/...
# Of the API's tests, which take ten minutes there, those in which requests meet; one
# that fills every buffer on the way is left out, it takes half a minute there.
RACE_API := ^Test(Accepted|Backup|Budget|ExportEnds|Hurry|Ingest(Busy|ClientGone|Concurrently|Slow)|LogLevel|Metrics|Profiles|Ready|Realtime|Request|Rerate|Retention|Similar|SlowReader|Stream($$|Refusals|Shutdown|Without|Ends))
# Of the engines' conformance suite, which takes minutes there and has a target of
# its own, those cases in which they do.
RACE_ENGINES := ./internal/store/duckdb ./internal/store/postgres
RACE_CASES   := ^TestConformance$$/^sums$$/(Append|Events|OneMoment|Everything|Close|Health|Prune|Settings|Dump)

# The published price list that the shipped book is built from: the version is
# the one in e2e/genai/package.json, this is the day it was published.
PRICES_LISTED := 2026-09-23

# How long `make fuzz` spends on each target.
FUZZTIME ?= 10s

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build, then serve here in the foreground (ARGS="--port 3200 …")
	@exec ./bin/costprof serve $(ARGS)

.PHONY: build
build: compiler ## Build bin/costprof
	$(GO) build -ldflags "$(if $(VERSION),-X github.com/costprof/costprof/internal/cli.version=$(VERSION))" -o bin/costprof ./cmd/costprof

.PHONY: demo
demo: build ## Fill the running server (make run) with realistic traffic (ARGS="--days 7 …")
	@./bin/costprof demo $(ARGS)

.PHONY: test
test: compiler published ## Run every test: vet, unit, conformance, end to end, crash, browser, prices, race
	$(GO) vet ./...
	@GO='$(GO)' bash tools/services.sh run $(GO) run ./internal/archtest/gotest -timeout 20m ./...
	@GO='$(GO)' bash tools/services.sh run $(GO) run ./internal/archtest/gotest -timeout 20m -race $(RACE)
	@GO='$(GO)' bash tools/services.sh run $(GO) run ./internal/archtest/gotest -timeout 20m -race -run '$(RACE_API)' ./internal/httpapi

.PHONY: race
race: compiler ## Run the engines' cases in which goroutines meet under the race detector too; minutes
	@GO='$(GO)' bash tools/services.sh run $(GO) run ./internal/archtest/gotest -timeout 20m -race -run '$(RACE_CASES)' $(RACE_ENGINES)

.PHONY: services
services: ## Start PostgreSQL and Redis for tests and leave them running; prints the variables to set
	@bash tools/services.sh start

.PHONY: services-stop
services-stop: ## Stop what make services started
	@bash tools/services.sh stop

.PHONY: lint
lint: compiler ## Run the linters and look for known vulnerabilities
	$(TOOL) golangci-lint run
	@unformatted=$$($(TOOL) gofumpt -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	@GO='$(GO)' sh tools/govulncheck.sh

.PHONY: sbom
sbom: build ## Write bin/costprof.cdx.json: what the program is made of, as CycloneDX
	$(TOOL) cyclonedx-gomod bin -json -std $(if $(VERSION),-version $(VERSION)) -output bin/costprof.cdx.json bin/costprof

.PHONY: fmt
fmt: ## Format the code
	$(TOOL) gofumpt -w .

.PHONY: bench
bench: build ## Measure what docs/benchmarks.md reports; minutes (ARGS="ingest", "-events 1000000 query", …)
	$(GO) run ./bench -server bin/costprof $(ARGS)

.PHONY: prices
prices: published ## Build the shipped price book anew from the published list (needs Node.js)
	@mkdir -p bin
	node e2e/genai/calls.mjs list > bin/list.json
	$(GO) run ./internal/pricing/bookbuild -in bin/list.json -out internal/pricing/book.json \
		-version "$$(node -p 'require("./e2e/genai/package.json").dependencies["@pydantic/genai-prices"]')" -listed $(PRICES_LISTED)

.PHONY: fuzz
fuzz: compiler ## Fuzz every parser for FUZZTIME (10s) each
	@GO='$(GO)' FUZZTIME='$(FUZZTIME)' sh tools/fuzz.sh

.PHONY: faults
faults: compiler ## Let every operation on the data directory fail in turn; 20 minutes (needs root and FUSE)
	COSTPROF_FAULTS=all COSTPROF_REQUIRE=fuse,mount $(GO) test ./e2e/faults -run Matrix -v -parallel 4 -timeout 120m | grep -v '^=== '

.PHONY: simulate
simulate: ## Play a million schedules of crashes, retries and failing parts; minutes (ARGS="-seed 1 …")
	$(GO) test ./e2e/simulation -v -run Schedules -timeout 60m -args -schedules 1000000 $(ARGS)

.PHONY: clean
clean: ## Remove what was built; data directories stay
	rm -rf bin coverage.out e2e/genai/node_modules e2e/sse/node_modules

# The published packages that tests hold us against: prices, and a client of streams.
.PHONY: published
published:
	@sh tools/published.sh

.PHONY: compiler
compiler:
	@GO='$(GO)' sh tools/compiler.sh
