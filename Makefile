# One command to run, one to test; `make` alone lists the rest.

PORT ?= 8000
REAL ?=
ARGS ?=
# A third of the tests' time is waiting, so two cores serve three workers.
WORKERS ?= $(shell test $$(getconf _NPROCESSORS_ONLN) -lt 4 && echo 3 || echo 4)
PY := .venv/bin/python

# Compiled modules halve the start of every process.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-pooled check bench bench-peers bench-records bench-growth month-end test-real fuzz long looks chaos soak messages clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/synced ## start the demo on PORT (8000); REAL=1 adds a real small model behind it
	@$(if $(REAL),bin/bootstrap --group real)
	@exec $(PY) -m bin.run --port $(PORT) $(if $(REAL),--real)

test: .venv/synced ## run the tests, with throw-away PostgreSQL and Redis; ARGS="-k word" narrows them
	$(PY) -m bin.translations compile
	$(PY) -m pytest --numprocesses $(WORKERS) --dist loadfile $(ARGS)

test-pooled: .venv/synced ## the money core and the races with PgBouncer in transaction mode before PostgreSQL
	$(PY) -m bin.translations compile
	TESTS_POOLED=1 $(PY) -m pytest --numprocesses $(WORKERS) --dist loadfile tests/billing tests/chaos/test_races.py $(ARGS)

check: .venv/synced ## lint, formats, types, layers, templates, Django's checks, missing migrations
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	.venv/bin/lint-imports
	git ls-files -co --exclude-standard -- '*.html' | xargs -r .venv/bin/djade --check
	$(PY) -m bin.check
	$(PY) -m mypy

bench: .venv/synced ## measure the hot path beside a null application, books on
	$(PY) -m bench.hot_path $(ARGS)

bench-peers: .venv/synced ## the same beside other gateways: LiteLLM, Portkey, ferrogw, vLLM's router
	$(PY) -m bench.hot_path --peers $(ARGS)

bench-records: .venv/synced ## pages, roll-ups and inserts over five million usage records
	$(PY) -m bench.records $(ARGS)

bench-growth: .venv/synced ## curves of what grows: keys, floods, routes, prices, clients, pages; ARGS="--only table" a full table
	$(PY) -m bench.growth $(ARGS)

month-end: .venv/synced ## close and draft a month of a million records, on SQLite in a folder of its own
	folder=$$(mktemp -d) && export COSTROUTER_VAR=$$folder DJANGO_SETTINGS_MODULE=costrouter.settings && \
	$(PY) manage.py migrate -v0 && $(PY) -m bench.month_end; code=$$?; rm -rf $$folder; exit $$code

test-real: .venv/synced ## a real model behind, real agents before the gateway (downloads 700 MB once; agents need npm)
	bin/bootstrap --group real
	$(PY) -m pytest tests/real $(ARGS)

fuzz: .venv/synced ## the long form of the fuzzing rigs
	$(PY) -m pytest -m fuzz $(ARGS)

long: .venv/synced ## the tests that take more time than every change has
	$(PY) -m pytest -m long $(ARGS)

looks: .venv/synced ## axe-core over every page: light and dark, wide and narrow, in both languages
	$(PY) -m pytest -m "looks or not looks" tests/portal/test_axe.py tests/administration/test_axe.py $(ARGS)

chaos: .venv/synced ## the long form of the rigs that kill processes
	$(PY) -m pytest -m chaos $(ARGS)

soak: .venv/synced ## processes, PostgreSQL and Redis break for half an hour (SOAK_SECONDS=90 shortens it), then the long machines of money
	SOAK_SECONDS=$${SOAK_SECONDS:-1800} $(PY) -m pytest -s tests/chaos/test_soak.py $(ARGS)
	$(PY) -m pytest -v -m chaos tests/billing/test_machine.py tests/billing/test_lots_machine.py tests/billing/test_money_machine.py $(ARGS)

messages: .venv/synced ## bring the translation catalogues up to date with the sources
	$(PY) -m bin.translations update

clean: ## remove the environment, the demo's data and every cache
	rm -rf .venv var .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

.venv/synced: uv.lock pyproject.toml bin/bootstrap
	@bin/bootstrap
	@touch $@
