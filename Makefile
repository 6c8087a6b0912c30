# The commands of this repository; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BUILD ?= buildah bud --layers
BASE_IMAGE ?= docker.io/library/python:3.13-slim
REGISTRY ?= localhost
TAG ?= e2e
FILE ?= examples/metricscluster.yaml
NAMESPACE ?= monitoring
BUILD_FOLDER ?= build
# Tests and measurements start our programs hundreds of times; images hold them compiled too.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test controlplane chaos check format bench e2e images clean lock generate manifests
.DEFAULT_GOAL := help

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/run ## run a store and an agent here, from $(FILE); Ctrl-C ends both
	@exec $(BIN)/metricscluster up $(FILE)

test: $(VENV)/dev ## run the tests
	@$(BIN)/pytest -n auto --ignore=tests/e2e -m "not controlplane"

controlplane: $(VENV)/dev ## try operator, resource and chart on a real API server: kube-apiserver, etcd, helm, kubectl on PATH
	@$(BIN)/pytest -n auto tests/chaos -m controlplane

chaos: $(VENV)/dev ## try the promises at full size (docs/testing.md); CHAOS="-k t13 --seed 7" to choose or replay
	@$(BIN)/pytest tests/chaos --size full $(CHAOS)

check: $(VENV)/dev ## format, lint, types, import contracts, tests
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports > /dev/null || $(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

format: $(VENV)/dev ## format the code
	@$(BIN)/ruff format --quiet . && $(BIN)/ruff check --quiet --fix .

bench: $(VENV)/dev ## measure, beside others too, and write the figures to bench/results; BENCH="--full" for more
	@BASE_IMAGE=$(BASE_IMAGE) REGISTRY=$(REGISTRY) TAG=$(TAG) $(BIN)/python -m bench $(BENCH)

e2e: $(VENV)/dev ## run the end-to-end tests on the cluster of KUBECONFIG
	@$(BIN)/pytest tests/e2e

images: ## build the three images as $(REGISTRY)/metricscluster-{store,agent,operator}:$(TAG)
	@for part in store:store nodeagent:agent operator:operator; do \
	  $(BUILD) --quiet $(BUILD_OPTIONS) --build-arg BASE_IMAGE=$(BASE_IMAGE) \
	    -f $${part%%:*}/Dockerfile -t $(REGISTRY)/metricscluster-$${part##*:}:$(TAG) . || exit 1; \
	done

generate: $(VENV)/dev ## write what is made from code: the CRD, its documentation, dashboards, the chart's table of values
	@$(BIN)/python -m metricsoperator.generate
	@PYTHONPATH=charts $(BIN)/python -m dashboards

manifests: ## write the chart as plain manifests to build/install.yaml, for namespace $(NAMESPACE); HELM="--set ..." for values
	@mkdir -p $(BUILD_FOLDER) && sed 's/NAMESPACE/$(NAMESPACE)/' charts/namespace.yaml > $(BUILD_FOLDER)/install.part && \
	  helm template metricscluster charts/metricscluster --namespace $(NAMESPACE) --skip-tests $(HELM) >> $(BUILD_FOLDER)/install.part && \
	  mv $(BUILD_FOLDER)/install.part $(BUILD_FOLDER)/install.yaml

lock: $(VENV)/dev ## pin the newest allowed dependencies, with hashes, into requirements/
	@for part in store agent operator run dev; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	    --no-annotate --no-emit-package metricscluster -o requirements/$$part.txt $$(cat requirements/$$part.in) || exit 1; \
	done

clean: ## remove what the other commands made here; data of `make run` too
	rm -rf $(VENV) .metricscluster .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache build *.egg-info store/metricstore/numeric/*.so

# An environment is made once and again whenever its lock file, or what is compiled into it, changes.
COMPILED := setup.py $(wildcard store/metricstore/numeric/*.pyx store/metricstore/numeric/*.pxi)

$(VENV)/run: requirements/run.txt pyproject.toml $(COMPILED)
	@$(call environment,run)

$(VENV)/dev: requirements/dev.txt pyproject.toml $(COMPILED)
	@$(call environment,dev)
	@touch $(VENV)/run

define environment
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "metricscluster needs Python 3.11 or newer; call make PYTHON=...")' && \
	{ [ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV); } && \
	echo "installing what is pinned in requirements/$(1).txt into $(VENV) (once)" && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/$(1).txt && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable . && \
	touch $(VENV)/$(1)
endef
