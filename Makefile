# Everything that is needed besides python3, python3-venv and make is set up here, in .venv, from requirements.lock.
PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help demo test lint units systemd-test dist chaos soak format bench lock clean

help:            ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

$(READY): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -W ignore:DEPRECATION -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(RUN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(READY)   ## everything at once on this machine, in less than 20 seconds
	@$(RUN)/watcher demo

test: $(READY)   ## all tests; those of the pure parts reach every line of them
	$(RUN)/python -m pytest -n auto --cov --cov-report=term tests/core tests/providers
	$(RUN)/python -m pytest -n auto --ignore=tests/core --ignore=tests/providers tests

lint: $(READY)   ## style, types, layers
	$(RUN)/ruff check
	$(RUN)/ruff format --check
	$(RUN)/mypy
	$(RUN)/lint-imports

units: $(READY)  ## what systemd says of the units, and Prometheus of the alerts (needs both)
	$(RUN)/python -m pytest -q tests/system/test_unit.py tests/system/test_monitoring.py

systemd-test: $(READY) ## the units under a real systemd, in a container (root, systemd-container, mmdebstrap)
	PYTHONPATH=tests timeout --signal=INT --kill-after=60 900 $(RUN)/python -m system.boot

dist: $(READY)   ## the source archive and the wheel, which is tried alone in an empty environment
	rm -rf dist
	$(RUN)/python -m build --no-isolation --outdir dist
	PYTHONPATH=tests $(RUN)/python -m system.alone dist/*.whl

chaos: $(READY)  ## kill -9 again and again, and everything else that goes wrong: half an hour
	CHAOS=1 timeout 900 $(RUN)/python -m pytest -q -n auto tests/core tests/providers tests/contract/test_store_machine.py
	CHAOS=1 timeout 1800 $(RUN)/python -m pytest -s -q --timeout 900 tests/daemon/test_kill.py \
	  tests/daemon/test_kill_files.py tests/daemon/test_kill_nats.py tests/daemon/test_kill_redis.py \
	  tests/daemon/test_deliveries_kill.py tests/daemon/test_deliveries_oracles.py tests/daemon/test_failover.py tests/daemon/test_failover_chaos.py \
	  tests/loops/test_deliver_many.py
	PYTHONPATH=.:tests timeout 3600 $(RUN)/python -m chaos

soak: $(READY)   ## nothing goes wrong, for SOAK_SECONDS (600): memory, handles, tasks
	PYTHONPATH=.:tests timeout 1200 $(RUN)/python -m chaos soak

format: $(READY) ## what ruff can mend by itself
	$(RUN)/ruff check --fix
	$(RUN)/ruff format

bench: $(READY)  ## measurements, side by side with what we compare to; WHAT=endtoend, unchanged, workers, many, ...
	PYTHONPATH=tests $(RUN)/python -m bench $(WHAT)

lock:            ## requirements.lock anew, with hashes and without hosts (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  --all-extras --group dev --group build pyproject.toml -o requirements.lock

clean:           ## forget the set-up
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage
