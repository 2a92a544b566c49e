# `make demo` and `make test` set everything up by themselves; a second call starts at once.
PYTHON ?= python3
POCKETNAS := .venv/bin/pocketnas

.PHONY: help setup demo test test-all testbed lint clean

help:
	@echo "make demo      set up, then run the whole loop on this machine; ends in runs/demo/report.html"
	@echo "make test      set up, then run the tests (make test-all: the slow ones too)"
	@echo "make testbed   build the phone lookalike that tests over adb run on (once; root on Debian 12)"
	@echo "make setup     virtual environment in .venv, dependencies, native runners, data"
	@echo "make lint      ruff and mypy"
	@echo "make clean     remove .venv (runs/ stays)"

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" ./scripts/setup.sh

demo: .venv/ready
	@$(POCKETNAS) demo

test: .venv/ready
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The fuzzer of the parsers, and Ray; without them their tests are skipped.
.venv/fuzz: .venv/ready
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
	    --constraint constraints.txt --editable '.[dev,fuzz,ray]' && touch .venv/fuzz

test-all: .venv/ready .venv/fuzz
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not phone" --hypothesis-profile=exploring

testbed:
	@./tests/lookalike/build.sh

lint: .venv/ready
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

clean:
	rm -rf .venv
