# Every module of the repository, the core first.
MODULES := . budget/dynamostore budget/pgstore budget/redisstore budget/sqlitestore bedrockguard/stsidentity examples internal/robustness
GOFUMPT := GOWORK=off go tool -modfile=$(CURDIR)/internal/tools/go.mod gofumpt

# How many seeds the headline test tries; 200 and more for a release.
HEADLINE_SEEDS ?= 20

.PHONY: test check fmt fmt-check tidy-check vet lint examples bench headline fuzz

## test: every module's tests with the race detector
test:
	@set -e; for m in $(MODULES); do echo "== $$m"; (cd $$m && HEADLINE_SEEDS=$(HEADLINE_SEEDS) go test -race -shuffle=on -timeout 25m ./...); done

## check: what CI runs
check: fmt-check tidy-check vet test examples

## examples: run those that need no network
examples:
	go run ./examples/quickstart
	go run ./examples/langchain
	go run ./examples/cacheaudit ./examples/cacheaudit/testdata
	go run ./examples/incident -svg "$$(mktemp -d)/incident.svg"

fmt:
	$(GOFUMPT) -w .

fmt-check:
	@files=$$($(GOFUMPT) -l .); if [ -n "$$files" ]; then echo "gofumpt would change:"; echo "$$files"; exit 1; fi

tidy-check:
	@set -e; for m in $(MODULES); do (cd $$m && GOWORK=off go mod tidy -diff); done

vet:
	@set -e; for m in $(MODULES); do (cd $$m && go vet ./...); done

## lint: golangci-lint v2 from your PATH, with the import directions of the design
lint:
	@set -e; for m in $(MODULES); do (cd $$m && golangci-lint run ./...); done

## headline: the hard-cap test over as many seeds as you like
headline:
	cd internal/robustness && HEADLINE_SEEDS=$(HEADLINE_SEEDS) go test -race -timeout 0 -run TestHardCap -v ./...

## bench: the figures of the README, each against its baseline in the same run
bench:
	go test -run '^$$' -bench 'BenchmarkConverse' -benchmem ./bedrockguard
	go test -run '^$$' -bench 'BenchmarkLedger|BenchmarkLease' -benchmem ./budget
	go test -run TestLeasesOfTenThousandHolders -v ./budget
	cd budget/sqlitestore && go test -run '^$$' -bench . -benchmem .
	cd budget/dynamostore && go test -run '^$$' -bench . -benchtime 10x .
	cd budget/redisstore && go test -run '^$$' -bench . -benchtime 20x .
	cd budget/pgstore && go test -run '^$$' -bench . -benchtime 10x .

## fuzz: a minute for each parser
fuzz:
	@set -e; for m in $(MODULES); do (cd $$m && for pkg in $$(go list ./...); do \
		for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do echo "== $$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime 60s $$pkg; done; done); done
