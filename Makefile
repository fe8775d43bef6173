# `make help` lists the targets. Everything runs from a virtual environment in .venv that make builds
# from hashed locks; nothing else of the project's is installed on the machine.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
CONTEXT ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS := .venv-docs
PYTEST := $(BIN)/pytest
CONTEXT_ARGUMENT := $(if $(CONTEXT),--context $(CONTEXT))
export CONTEXT

.PHONY: help
help: ## Show the targets.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/:.*## /\t/' | expand -t 22

$(READY): requirements/dev.lock pyproject.toml
	@echo "==> preparing $(VENV) from requirements/dev.lock"
	@$(PYTHON) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Ferryman needs Python 3.11 or later with venv: set PYTHON=..., or install python3-venv."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  echo "note: images, and the Triton of the tests, are made with Python 3.11 only: set PYTHON=python3.11"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: venv
venv: $(READY) ## Build the virtual environment that everything else uses.

.PHONY: demo
demo: $(READY) ## Bring up a cluster, install Ferryman, and play three acts: each ends with a picture.
	$(BIN)/python -m hack.demo $(CONTEXT_ARGUMENT)

.PHONY: test
test: test-unit test-integration test-e2e ## Run the tests: unit, integration, end to end; what takes long has targets of its own.

.PHONY: test-unit
test-unit: $(READY) ## Run the unit tests: those of the decisions, and beside them all others.
	$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-rest test-core test-handlers

.PHONY: test-core
test-core: $(READY) ## Run the unit tests of the decisions, with their branch coverage.
	$(BIN)/coverage run -m pytest tests/unit/core
	$(BIN)/coverage report --skip-covered

.PHONY: test-handlers
test-handlers: $(READY) ## Run the unit tests of the operator's handlers, with their branch coverage.
	$(BIN)/coverage run --data-file=.coverage-handlers --source=ferryman.handlers -m pytest tests/unit/handlers
	$(BIN)/coverage report --data-file=.coverage-handlers --skip-covered --fail-under=95

.PHONY: test-rest
test-rest: $(READY) ## Run the unit tests of everything but decisions and handlers, the generated and fuzzed ones too.
	$(PYTEST) tests/unit tests/generated tests/fuzz examples --ignore=tests/unit/core --ignore=tests/unit/handlers

.PHONY: test-generated
test-generated: $(READY) ## Try fifty times as many generated examples of every kind (an hour).
	HYPOTHESIS_PROFILE=fresh GENERATED_FACTOR=50 $(PYTEST) tests/generated --timeout=0

ATHERIS := build/atheris

$(ATHERIS)/.ready: $(READY) requirements/fuzz.lock
	rm -rf $(ATHERIS)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target $(ATHERIS) \
	  -r requirements/fuzz.lock
	@touch $@

.PHONY: fuzz
fuzz: $(ATHERIS)/.ready ## Fuzz all that reads others' words, each a million times (hours; goes on where it stopped).
	$(BIN)/python -m tests.fuzz $(FUZZ)

.PHONY: test-integration
test-integration: $(READY) ## Run the tests on a real kube-apiserver and on real tritonserver processes.
	$(MAKE) --no-print-directory --jobs=3 --output-sync=line test-operator test-load test-triton test-hostile-short
	$(BIN)/python -m hack.permissions

# The first three parts take equally long, and wait for other processes most of the time.
OPERATOR_TESTS := $(patsubst %,tests/integration/test_%.py,agent_publish crds explain \
  fetch_cache fetch_disk fetch_gcs fetch_hostile fetch_hub fetch_s3 installation krew leadership load_command models \
  monitoring nodes operator operator_lifecycle operator_live_cap permissions rendered_objects traces)
LOAD_TESTS := $(patsubst %,tests/integration/test_%.py,drain live_cap live_cap_cases real_bench \
  triton_live_changes tune)

.PHONY: test-operator
test-operator: $(READY) ## Run the integration tests of operator and command line.
	@echo "==> what these tests run: from the PATH, the cache, or built once"
	$(BIN)/python -m hack.cluster binaries etcd kube-apiserver kube-controller-manager kubectl helm krew \
	  prometheus versitygw
	$(PYTEST) $(OPERATOR_TESTS)

.PHONY: triton-tree
triton-tree: $(READY)
	$(BIN)/python -c 'from hack.images import tree; tree.prepare()'

.PHONY: test-load
test-load: triton-tree ## Run the integration tests that put load on Triton: live changes, live cap, benchmarks.
	$(PYTEST) $(LOAD_TESTS)

.PHONY: test-triton
test-triton: triton-tree ## Run the other integration tests: clients of Triton, the adapter, the agent's benchmark.
	$(PYTEST) tests/integration $(patsubst %,--ignore=%,$(OPERATOR_TESTS) $(LOAD_TESTS))

.PHONY: test-hostile
test-hostile: triton-tree ## Run all that hostile tenants, nodes and thieves of tokens try (10 minutes).
	$(BIN)/python -m hack.cluster binaries etcd kube-apiserver kube-controller-manager kubectl
	$(PYTEST) tests/hostile

.PHONY: test-hostile-short
test-hostile-short: triton-tree ## Run all of that but what takes a minute and more each.
	$(BIN)/python -m hack.cluster binaries etcd kube-apiserver kube-controller-manager kubectl
	$(PYTEST) tests/hostile -m "not long"

.PHONY: test-hostile-mutants
test-hostile-mutants: triton-tree ## Take out one defence after the other, and see that its hostile test fails (half an hour).
	$(BIN)/python -m hack.cluster binaries etcd kube-apiserver kube-controller-manager kubectl helm
	$(PYTEST) tests/hostile/mutants.py

.PHONY: test-e2e
test-e2e: $(READY) ## Run the end-to-end tests but the long ones (CONTEXT=name for a cluster of yours).
	$(PYTEST) tests/e2e -m "not long"

.PHONY: test-e2e-all
test-e2e-all: $(READY) ## Run all end-to-end tests: also nodes that die, own scaling, the chart's upgrades (half an hour).
	$(PYTEST) tests/e2e

.PHONY: test-live-cap
test-live-cap: $(READY) ## Run the live cap's 208 generated cases on a real Triton, and libraries broken on purpose.
	LIVE_CAP_CASES=208 $(PYTEST) tests/integration/test_live_cap_cases.py tests/integration/live_cap_mutants.py

.PHONY: test-kills
test-kills: triton-tree ## Kill the operator before and after each write of a change of a pipeline (20 minutes).
	KILLS=all $(PYTEST) tests/integration/test_pipeline_kills.py

.PHONY: verify
verify: $(READY) ## Check style, types, contracts, manifests and that generated files are up to date.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	git ls-files -z '*.sh' .ci/run images/triton-cpu/tritonserver | xargs -0 -r $(BIN)/shellcheck
	$(BIN)/yamllint --strict .
	$(BIN)/python -m hack.generate --check
	$(BIN)/python -m hack.lint

.PHONY: generate
generate: $(READY) ## Regenerate the CRDs, the chart's copies, the kustomize base and the API reference.
	$(BIN)/python -m hack.generate

$(DOCS)/.ready: requirements/docs.lock
	@echo "==> preparing $(DOCS) from requirements/docs.lock"
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --disable-pip-version-check --require-hashes -r requirements/docs.lock
	@touch $@

# Its packages have an environment of their own: no test needs them.
.PHONY: docs
docs: $(DOCS)/.ready ## Build the documentation as a site into build/site; a link that leads nowhere fails it.
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/python -m mkdocs build --strict
	@echo "build/site/index.html"

.PHONY: lock
lock: $(READY) ## Resolve the requirements again into hashed lock files.
	$(BIN)/python -m hack.lock

.PHONY: images
images: $(READY) ## Build the images and save them as archives under build/images.
	$(BIN)/python -m hack.images build all

.PHONY: cluster-up
cluster-up: $(READY) ## Create (or verify) the kind cluster of two unlike workers.
	$(BIN)/python -m hack.cluster up $(CONTEXT_ARGUMENT)

.PHONY: cluster-down
cluster-down: $(READY) ## Remove the cluster and all that it left on the machine.
	$(BIN)/python -m hack.cluster down

.PHONY: bench-quick
bench-quick: $(READY) ## Run the scenario benchmark on the digital twin with two seeds, and its tables.
	$(BIN)/python -m benchmarks.arena.run --quick
	$(BIN)/python -m benchmarks.family.run --quick

.PHONY: bench
bench: $(READY) ## Run the scenario benchmark on the digital twin with ten seeds; goes on where it stopped.
	$(BIN)/python -m benchmarks.arena.run

.PHONY: bench-confirm
bench-confirm: $(READY) ## Keep the scenario benchmark's results after a change where one seed comes out as before.
	$(BIN)/python -m benchmarks.arena.run --confirm

.PHONY: bench-family
bench-family: $(READY) ## Run all contenders on random models, half of them drawn from the commit (goes on where it stopped).
	$(BIN)/python -m benchmarks.family.run --report

.PHONY: bench-clairvoyant
bench-clairvoyant: $(READY) ## Run Guarded beside the best configuration of each phase of a load, and the best one (goes on where it stopped).
	$(BIN)/python -m benchmarks.clairvoyant.run

.PHONY: bench-pipelines
bench-pipelines: triton-tree ## Measure pipelines on a real Triton: the founding examples, live balancing, OCR (up to an hour).
	$(BIN)/python -m benchmarks.pipelines.run

.PHONY: bench-triton
bench-triton: $(READY) ## Run the scenarios on a real Triton (hours; goes on where it stopped).
	$(BIN)/python -m benchmarks.real.run

.PHONY: bench-live
bench-live: $(READY) ## Measure live changes, reloads and the twin against a real Triton (45 minutes).
	$(BIN)/python -m benchmarks.live_changes
	$(BIN)/python -m benchmarks.reloads
	$(BIN)/python -m benchmarks.twin_validation

.PHONY: bench-twin-speed
bench-twin-speed: $(READY) ## Measure how many requests the digital twin serves in a second of CPU time.
	$(BIN)/python -m benchmarks.twin_speed

.PHONY: bench-reference
bench-reference: $(READY) ## Repeat the reference benchmark on the test cluster's two unlike nodes (20 minutes).
	$(BIN)/python -m benchmarks.reference

.PHONY: bench-onnx
bench-onnx: $(READY) triton-tree ## Split ResNet50 into steps, serve them, and measure compressed variants (10 minutes).
	$(BIN)/python -m benchmarks.onnx_models

.PHONY: bench-placement
bench-placement: $(READY) ## Place random fleets by Ferryman and by simpler rules, beside a proven bound (25 minutes).
	$(BIN)/python -m benchmarks.placement

.PHONY: bench-pipelines-twin
bench-pipelines-twin: $(READY) ## Balance random pipelines on the digital twin, beside exhaustive search (10 minutes).
	$(BIN)/python -m benchmarks.pipelines_twin.run

.PHONY: bench-scaling
bench-scaling: $(READY) ## Scale models on the digital twin, by Ferryman and by an HPA (5 minutes).
	$(BIN)/python -m benchmarks.scaling.run

.PHONY: bench-endings
bench-endings: $(READY) ## End serving pods in every way under load on the test cluster, and count what is lost (20 minutes).
	$(BIN)/python -m benchmarks.endings

.PHONY: docs-plots
docs-plots: $(READY) ## Draw the pictures of docs/concepts again, from the results that are committed.
	$(BIN)/python -m benchmarks.concepts

.PHONY: bench-scale
bench-scale: $(READY) ## Place 500 models on 1,000 simulated nodes through a real API server (up to 6 minutes).
	$(BIN)/python -m benchmarks.scale

SBOM := build/sbom

$(SBOM)/venv/.ready: requirements/sbom.lock
	$(PYTHON) -m venv --clear $(SBOM)/venv
	$(SBOM)/venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/sbom.lock
	@touch $@

.PHONY: sbom
sbom: $(SBOM)/venv/.ready ## Write the software bills of materials of both images, from their locks, to build/sbom.
	for name in operator triton-cpu; do \
	  $(SBOM)/venv/bin/cyclonedx-py requirements requirements/$$name.lock --output-reproducible \
	    --output-format JSON --output-file $(SBOM)/$$name.cdx.json; \
	done

.PHONY: krew
krew: $(READY) ## Write kubectl's plugin as krew installs it, archive and manifest, to build/krew.
	$(BIN)/python -m hack.krew

.PHONY: clean
clean: ## Remove the virtual environment and build output (not the caches).
	rm -rf $(VENV) $(DOCS) build
