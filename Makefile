# `make help` lists the targets. Everything lives in .venv; nothing is installed elsewhere.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help install demo up dashboard test drills unit fuzz test-containers images check format docs bench lock sbom audit-deps clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

install: $(READY) ## make the environment: locked versions, checked by hash

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing locked packages (about a minute the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)
	@echo "The command is .venv/bin/clickstream; source .venv/bin/activate puts it on the path."

demo: $(READY) ## the whole system on this machine, on real servers, in a minute (ARGS="--keep")
	@$(BIN)/clickstream demo $(ARGS)

up: $(READY) ## a real Kafka and Valkey on this machine, until Ctrl-C
	@$(BIN)/clickstream up $(ARGS)

dashboard: $(READY) ## score files, watch the stream, in a browser, until Ctrl-C (ARGS="--open")
	@$(BIN)/clickstream dashboard $(ARGS)

test: $(READY) ## all tests; real servers are started and stopped by them
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not containers and not drill" $(ARGS)

drills: $(READY) ## what takes longer: three brokers of which one is killed, another shop's crashes; sessions of a broker that end, rare ways to log in
	$(BIN)/python -m pytest -m drill $(ARGS)

unit: $(READY) ## unit and property tests alone
	$(BIN)/python -m pytest -m "not integration and not chaos and not containers" $(ARGS)

test-containers: $(READY) ## integration tests on containers, then docker-compose.yml itself (needs Docker)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m integration --servers containers $(ARGS)
	$(BIN)/python -m pytest -m containers --servers containers $(ARGS)

fuzz: $(READY) ## look for inputs that break what reads them, one target after the other (TIME=60 seconds each; TARGET=records)
	for target in $(or $(TARGET),$(FUZZED)); do $(BIN)/python -m fuzz $$target --seconds $(TIME) || exit 1; done

images: ## the images of consumer and dashboard (needs Docker)
	docker compose build

check: $(READY) ## lint, types, import rules, stale documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clickstream schemas --check
	$(BIN)/python deploy/grafana/make.py --check

format: $(READY) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY) ## the documentation as a site that needs no network, into site/
	$(BIN)/mkdocs build

bench: $(READY) ## measure throughput, latency and memory on this machine
	$(BIN)/python bench/engine.py $(ARGS)

TIME := 60
FUZZED := $(basename $(notdir $(wildcard fuzz/targets/[a-z]*.py)))

LOCK := uv pip compile --universal --generate-hashes --no-header --no-annotate --quiet
LOCKS := deploy/constraints
LOCK_IMAGE := $(LOCK) --python-version 3.13 -c constraints.txt

lock: $(READY) ## renew constraints.txt from pyproject.toml, and the locks of the images from it (needs uv)
	$(LOCK) --python-version 3.11 --extra dev --upgrade pyproject.toml -o constraints.txt
	rm -f $(LOCKS)/consumer.txt $(LOCKS)/dashboard.txt $(LOCKS)/build.txt
	$(LOCK_IMAGE) --extra fast --extra history --extra report --extra s3 --extra serve pyproject.toml -o $(LOCKS)/consumer.txt
	$(LOCK_IMAGE) --extra report --extra s3 --extra dashboard pyproject.toml -o $(LOCKS)/dashboard.txt
	echo hatchling | $(LOCK_IMAGE) - -o $(LOCKS)/build.txt

DIST := dist

sbom: $(READY) ## what the images hold, as CycloneDX, into dist/
	@mkdir -p $(DIST)
	for image in consumer dashboard; do \
	  $(BIN)/cyclonedx-py requirements $(LOCKS)/$$image.txt --pyproject pyproject.toml --output-reproducible \
	    --output-file $(DIST)/$$image.cdx.json || exit 1; done

audit-deps: $(READY) ## known vulnerabilities of the locked libraries (needs the index's advisory service)
	$(BIN)/pip-audit --strict --disable-pip --no-deps --progress-spinner off -r constraints.txt

clean: ## remove the environment and caches; bundles and jars stay in CLICKSTREAM_HOME
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@echo "Bundles, jars and servers' data stay in $${CLICKSTREAM_HOME:-~/.local/share/clickstream} (or below XDG_DATA_HOME, XDG_CACHE_HOME)"
