# Everything that a person or a machine does with this repository. `make` alone lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run build test unit slow fmt lint lint-deploy bench bench-history drill drill-planted drill-soak \
	drill-figures drill-build tsan fuzz clean packages conformance toolchain

# The compiler: on PATH, else where the toolchain's archive is commonly unpacked.
SWIFT := $(or $(shell command -v swift),$(wildcard /opt/swift/usr/bin/swift),swift)
export PATH := $(patsubst %/,%,$(dir $(SWIFT))):$(PATH)
PYTHON := $(or $(wildcard /usr/bin/python3),python3)
SWIFT_DIRS := Package.swift Sources Tests Migrations

# Suites that need nothing but the processor; the others start servers and processes.
UNIT_SUITES := RuntimeTests|CryptoTests|DomainTests|FaultsTests|TidyTests
# One after the other: each is written to use the machine alone, and several have deadlines of their own.
SLOW_SUITES := ArchiveTests TestKitTests EmbeddedPostgresTests PostgresTests HTTPTests SubprocessTests StoreTests \
	WorkersTests GatewayTests APITests TurnpikeTests EndToEndTests DrillTests
TSAN_SUITES := RuntimeTests|CryptoTests|DomainTests

help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1|\2/' \
		| while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

run: ## Build and start a gateway with a private PostgreSQL and an example agent
	@deploy/packages.sh run
	@$(MAKE) --no-print-directory build
	@exec .build/release/turnpike dev

build: toolchain ## Build the program and its launcher, optimised
	$(SWIFT) build --configuration release --product turnpike
	@! grep -qaE 'TURNPIKE_(FAULT|PLANT)' .build/release/turnpike || \
		{ echo "make: a release build must hold no fault points" >&2; exit 1; }
	@$(MAKE) --no-print-directory .build/release/turnpike-launcher

test: toolchain ## Run everything that must pass: format, units, then real servers and processes
	@deploy/packages.sh test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory .venv/ready
	$(SWIFT) build --build-tests
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory slow
	@echo "make test: all passed"

unit: toolchain ## Run the suites that need no server, in seconds
	$(SWIFT) test --filter '^($(UNIT_SUITES))\.'

# How often a slow suite may be tried. More than once only where the machine's load is nobody's choice; see .ci/run.
SLOW_TRIES ?= 1

slow: .venv/ready
	@$(MAKE) --no-print-directory .build/debug/turnpike-launcher
	@for suite in $(SLOW_SUITES); do \
		for try in $$(seq $(SLOW_TRIES)); do \
			echo "== $$suite"; \
			$(SWIFT) test --skip-build --filter "^$$suite\\." && continue 2; \
			echo "== $$suite FAILED at try $$try of $(SLOW_TRIES)"; \
		done; \
		exit 1; \
	done

fmt: ## Format all Swift files
	$(SWIFT) format --in-place --recursive --parallel $(SWIFT_DIRS)

lint: ## Check the format of all Swift files
	$(SWIFT) format lint --strict --recursive --parallel $(SWIFT_DIRS)

lint-deploy: .venv/deploy-ready ## Check the files in deploy/ with nginx, HAProxy, systemd and the schemas
	PATH="$$PATH:/usr/sbin:/sbin" .venv/bin/python deploy/check.py

bench-history: ## Measure what a turn costs at the beginning and at the end of a long conversation
	@deploy/packages.sh bench
	@$(MAKE) --no-print-directory build
	Tests/Bench/history

bench-streams: ## Follow conversations with 500 readers, slow and restless ones among them, while a replica is killed
	@deploy/packages.sh bench
	@$(MAKE) --no-print-directory build
	Tests/Bench/streams

bench: ## Measure, beside pgbench and procrastinate on the same server
	@deploy/packages.sh bench
	@$(MAKE) --no-print-directory build .venv/bench-ready
	Tests/Bench/run

drill: drill-build ## Make everything fail, one thing at a time and all at once, and check every promise
	.build/drill/release/turnpike-drill --nemesis all --seconds 8

drill-planted: drill-build ## Show that the drill finds each bug that a test build can have
	.build/drill/release/turnpike-drill --planted --seconds 8

MINUTES ?= 20
drill-soak: drill-build ## The seeded mix for so many MINUTES
	.build/drill/release/turnpike-drill --nemesis mix --seconds $$(($(MINUTES) * 60))

drill-figures: drill-build ## Measure recoveries one by one, thousands of conversations and a rolling restart among them
	.build/drill/release/turnpike-drill --figures

# With fault points, which no other build has.
drill-build: toolchain
	@deploy/packages.sh test
	$(SWIFT) build --configuration release -Xswiftc -DFAULT_POINTS --scratch-path .build/drill --product turnpike
	$(SWIFT) build --configuration release -Xswiftc -DFAULT_POINTS --scratch-path .build/drill --product turnpike-drill
	@$(MAKE) --no-print-directory .build/drill/release/turnpike-launcher

conformance: ## Drive agents of others through three replicas behind nginx, against a scripted model
	@deploy/packages.sh bench
	@$(MAKE) --no-print-directory build .venv/ready
	Tests/Conformance/run
	Tests/Conformance/run --approvals --agents hermes,code-puppy

approvals: ## A hundred times two decisions at once, and a replica's death between decision and wake
	@deploy/packages.sh test
	$(SWIFT) build --build-tests
	@$(MAKE) --no-print-directory .build/debug/turnpike-launcher
	TURNPIKE_APPROVAL_ROUNDS=100 $(SWIFT) test --skip-build --filter '^EndToEndTests\.EndToEnd/ApprovalTests'

.PHONY: bench-streams contract
contract: toolchain .venv/ready ## Hold every route to /openapi.json with schemathesis, at EXAMPLES tries of each
	$(SWIFT) build --build-tests
	@$(MAKE) --no-print-directory .build/debug/turnpike-launcher
	TURNPIKE_EXAMPLES=$(or $(EXAMPLES),100) $(SWIFT) test --skip-build --filter '^EndToEndTests\..*ContractTests'

.PHONY: model churn
model: ## Check the model of lease, fence, settlement and takeover, and that its mutations are found out
	@deploy/packages.sh model
	Tests/Model/run

churn: toolchain ## Start and end 500 of each stubborn worker, and look for what is left
	$(SWIFT) build --build-tests
	@$(MAKE) --no-print-directory .build/debug/turnpike-launcher
	TURNPIKE_CHURN=500 $(SWIFT) test --skip-build --filter '^WorkersTests\..*ChurnTests'

tsan: ## Run the suites that can take it under the thread sanitizer
	$(SWIFT) test --sanitize=thread --scratch-path .build/tsan --filter '^($(TSAN_SUITES))\.'

fuzz: ## Feed random bytes to the HTTP parser for a minute
	Tests/Fuzz/run

clean: ## Remove everything that was built
	rm -rf .build .venv

packages: ## Install the Debian packages for make test
	@deploy/packages.sh test

toolchain:
	@command -v $(SWIFT) >/dev/null || { echo "make: Swift 6.2 or later is needed: https://www.swift.org/install" >&2; exit 1; }

# The launcher is static: it becomes the worker's process and must need nothing of the environment. It is built after the
# Swift targets, since SwiftPM wants to make the folder, a link, itself.
.build/%/turnpike-launcher: Sources/launcher/main.c
	cc -O2 -static -Wall -Wextra -Werror -o $@ $<

# One environment for the Python packages of the tests, with the benchmark's and the deployment check's added on demand.
.venv/bin/pip:
	@rm -rf .venv
	$(PYTHON) -m venv .venv

.venv/ready: Tests/requirements.txt | .venv/bin/pip
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.venv/bench-ready: Tests/bench-requirements.txt | .venv/bin/pip
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

.venv/deploy-ready: deploy/check-requirements.txt | .venv/bin/pip
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@
