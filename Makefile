# `make` alone prints the commands; CI calls the same ones.
PYTHON ?= python3
export UNSURE_REPOSITORY ?= model_repository
BIN := .venv/bin
RIVALS := benchmarks/.rivals
SERVERS := benchmarks/.servers
ZOO := benchmarks/.zoo
MONITOR_SCHEMAS := @kubernetes-models/prometheus-operator@6.0.0
# Its models say what a ServingRuntime may hold. The rest of it asks for a server's requirements, which nobody needs.
KSERVE := kserve==0.21.0
MARKER = $(UNSURE_REPOSITORY)/.training-demos

.DEFAULT_GOAL := help
.PHONY: help serve train-demos test check format reference docs pictures bench-engine bench-rivals bench-serving bench-adaptive bench-scaling zoo reproduce schemas soak clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-14s %s\n", $$1, $$2}'

serve: train-demos ## install, train the demo models if there are none, serve on 127.0.0.1:8000
	@$(BIN)/unsure serve

# All three or none: a marker tells that a set was begun, so that an interrupted one is finished.
train-demos: .venv/installed
	@mkdir -p "$(UNSURE_REPOSITORY)"
	@if [ -e "$(MARKER)" ] || ! ls "$(UNSURE_REPOSITORY)"/*/model.toml >/dev/null 2>&1; then \
		touch "$(MARKER)" && \
		for model in digits breast-cancer diabetes; do \
			[ -e "$(UNSURE_REPOSITORY)/$$model/model.toml" ] || $(BIN)/unsure train $$model || exit 1; \
		done && rm "$(MARKER)"; \
	fi

# A process a core, each with one thread of torch; a file stays with one process, whose fixtures it shares.
test: .venv/developed ## install if needed, then pass all tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile

check: .venv/developed ## style, types and walls; changes no file
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@cd clients/python && $(CURDIR)/$(BIN)/lint-imports

format: .venv/developed ## rewrite files in the house's style
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

reference: .venv/developed ## write docs/reference from the program
	@$(BIN)/python docs/write_reference.py

# The notice that it silences tells of the theme's successor, at every build. With --quiet, no warning would count.
docs: .venv/developed ## build the site of the documentation into site/; what is wrong in it is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "site/index.html; to search in it: $(PYTHON) -m http.server --directory site 8080" >&2

pictures: .venv/developed ## measure and draw the pictures of docs/concepts.md anew
	@$(BIN)/python docs/draw_concepts.py

bench-engine: .venv/developed ## measure the engine against the naive loop
	@$(BIN)/python benchmarks/engine.py

bench-rivals: $(RIVALS)/installed ## measure it against other libraries, in an environment of their own
	@$(RIVALS)/bin/python benchmarks/rivals.py

bench-serving: .venv/developed $(SERVERS)/installed ## measure the server under load, beside LitServe
	@$(BIN)/python benchmarks/serving.py

bench-adaptive: .venv/developed ## measure how many samples adaptive sampling takes
	@$(BIN)/python benchmarks/adaptive.py

bench-scaling: .venv/developed ## measure the server on Ray Serve, with one replica and with two
	@$(BIN)/python benchmarks/scaling.py

zoo: $(ZOO)/installed ## load networks that others wrote and check their numbers, in an environment of their own
	@OMP_NUM_THREADS=1 $(ZOO)/bin/python -W ignore benchmarks/zoo.py --write benchmarks/zoo.md

reproduce: .venv/developed ## published figures again; those of the UCI sets with DATA=folder
	@if [ -n "$(DATA)" ]; then $(BIN)/python benchmarks/reproduce.py uci --data "$(DATA)"; else \
		echo "the UCI sets are left out: DATA=folder names a folder of them, see benchmarks/README.md" >&2; fi
	@$(BIN)/python benchmarks/reproduce.py weight-scaling
	@$(BIN)/python benchmarks/reproduce.py architectures

schemas: ## fetch what the tests of deploy/kubernetes ask of Prometheus's operator; needs npm
	@npm install --silent --no-fund --no-audit --prefix .schemas $(MONITOR_SCHEMAS)

soak: .venv/developed ## half an hour of mixed load: memory, files, threads, and every answer compared
	@$(BIN)/python benchmarks/soak.py

clean: ## remove the environment and every cache; models stay
	rm -rf .venv $(RIVALS) $(SERVERS) $(ZOO) .schemas .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "unsure needs Python 3.11 or newer, and '$(PYTHON)' is older: name another with PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
	@echo "installing into .venv: the first time takes a minute or two" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train]'
	@touch $@

# What tests, checks, pages and benchmarks need besides: more than twice as much.
.venv/developed: .venv/installed
	@echo "installing what tests need into .venv: the first time takes some minutes" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(KSERVE)
	@touch $@

# baal asks for Jupyter, which sampling does not need: it comes without its requirements.
$(RIVALS)/installed: benchmarks/rivals.txt
	@$(PYTHON) -m venv $(RIVALS)
	@echo "installing into $(RIVALS): the first time takes some minutes" >&2
	@grep -v '^baal=' $< | $(RIVALS)/bin/python -m pip install --quiet --disable-pip-version-check -r /dev/stdin
	@$(RIVALS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $$(grep '^baal=' $<)
	@touch $@

# torch here is the build for processors. torchaudio's compiled files ask for the other one's; without them it does
# what its networks need. This server comes without its requirements, of which the engine needs few.
$(ZOO)/installed: benchmarks/zoo.txt
	@$(PYTHON) -m venv $(ZOO)
	@echo "installing into $(ZOO): the first time takes some minutes" >&2
	@$(ZOO)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	@$(ZOO)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@rm -f $(ZOO)/lib/python*/site-packages/torchaudio/lib/*.so
	@touch $@

$(SERVERS)/installed: benchmarks/servers.txt
	@$(PYTHON) -m venv $(SERVERS)
	@echo "installing into $(SERVERS): the first time takes a minute or two" >&2
	@$(SERVERS)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
