.PHONY: run test check bench setup format
PY = .venv/bin/python -P
SHELL = /bin/bash

run:                ## everything needed, then the demonstration (ARGS=--scripted plays a shop's day)
	@.ci/setup run
	@.venv/bin/holdfast demo $(ARGS)

setup:              ## .venv and system parts
	@.ci/setup test

test: setup check   ## everything needed, then all tests
	@.venv/bin/python -m pytest $(ARGS)

check: setup        ## format, lint, types, contracts, units
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-cache | tail -n 12

bench: setup        ## figures as ratios to a baseline measured in the same run (ONLY=wire, CODES=folder)
	@.venv/bin/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(CODES),--codes $(CODES))

format: setup
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .
