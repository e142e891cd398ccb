# Each target makes .venv with pip alone if it is not there. PYTHON picks the interpreter: 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
DEMO ?= demo
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Tests wait for Ray and for other processes: three workers for two cores, a file of tests each at a time, all that is on Ray in one of them.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

.PHONY: demo test test-all lint format bench encoders bench-encoder bench-denoiser bench-diffusion bench-measure bench-modalities bench-served tritonserver chromium prometheus clean

demo: .venv/with-sim
	rm -rf $(DEMO)
	$(BIN)/tuningfork simulate $(DEMO)/release --galaxies 2000 --shards 4 --bands i
	$(BIN)/tuningfork run $(DEMO)/release/survey.toml --out $(DEMO)/run
	$(BIN)/tuningfork validate $(DEMO)/run
	$(BIN)/tuningfork report $(DEMO)/run --truth $(DEMO)/release/truth.parquet

test: .venv/with-dev .venv/with-tritonserver chromium prometheus
	$(BIN)/tuningfork warm-up
	$(PYTEST) -m "not slow"

# Clusters of several nodes come last and alone: they say what faults cost.
test-all: .venv/with-dev .venv/with-tritonserver chromium prometheus
	$(BIN)/tuningfork warm-up
	$(PYTEST) --ignore=tests/cluster
	TUNINGFORK_FUZZ=20 $(PYTEST) -m fuzz
	$(BIN)/python -m pytest tests/cluster

lint: .venv/with-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/with-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/with-bench .venv/with-tritonserver
	$(BIN)/python -m benchmarks

# One encoder for each fold held out: hours on two cores; bench-encoder scores those that are there.
encoders: .venv/with-bench
	$(BIN)/python -m benchmarks.train_encoders

bench-encoder: .venv/with-bench
	$(BIN)/python -m benchmarks.encoder
	$(BIN)/python -m benchmarks.invariance

bench-denoiser: .venv/with-bench
	$(BIN)/python -m benchmarks.denoiser

# About an hour on two cores, and ten minutes more the first time, when it trains a model of simulated galaxies.
bench-diffusion: .venv/with-bench
	$(BIN)/python -m benchmarks.diffusion

# About twenty minutes on one core, nearly all of them statmorph's.
bench-measure: .venv/with-bench
	$(BIN)/python -m benchmarks.measure
	$(BIN)/python -m benchmarks.measure_errors

# About two hours on one core: three trainings, and a supervised network for each share of the labels.
bench-modalities: .venv/with-bench
	$(BIN)/python -m benchmarks.modalities
	$(BIN)/python -m benchmarks.modalities_efigi

bench-served: .venv/with-bench .venv/with-tritonserver
	$(BIN)/python -m benchmarks served

# The server's binary comes with a wheel that asks for an old NumPy, which its binary does not need: so it is no dependency.
tritonserver: .venv/with-tritonserver

# The browser that the report's tests drive comes from the system: root installs it, others are told how.
chromium:
	-@if command -v chromium > /dev/null && command -v chromedriver > /dev/null; then :; \
	elif [ "$$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver > /dev/null; fi
	@command -v chromedriver > /dev/null || echo "Tests in a browser are skipped: install chromium and chromium-driver."

# So do Prometheus, which scrapes a run, and promtool, which tries the alerts; RUNLEVEL keeps Debian from starting it as a service.
prometheus:
	-@if command -v promtool > /dev/null; then :; \
	elif [ "$$(id -u)" -eq 0 ] && command -v apt-get > /dev/null; then \
		apt-get update -qq && RUNLEVEL=1 apt-get install -y -qq --no-install-recommends prometheus > /dev/null; fi
	@command -v promtool > /dev/null || echo "Tests of alerts and of scraping are skipped: install prometheus."
	@command -v kubectl > /dev/null || echo "Tests of manifests are skipped: install kubectl."

clean:
	rm -rf $(DEMO) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build *.egg-info

.venv/with-tritonserver:
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --no-deps nvidia-pytriton==0.7.0
	touch $@

.venv/with-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) -e '.[$*]'
	touch $@
