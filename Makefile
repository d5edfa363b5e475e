# make demo: the method end to end, offline, in minutes · make test: the test suite · make lint: ruff, mypy, shellcheck
# make coverage: the test suite, and the share of lines that it reaches
# make doc-commands: the commands of README.md, docs/ and the recipes, cut short and on the miniature data
# Each sets itself up in .venv on a machine that has nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv

.PHONY: demo test lint coverage doc-commands clean
demo: $(VENV)/ready
	$(VENV)/bin/python -m samples.demo

test: $(VENV)/ready-dev
	$(VENV)/bin/python -m pytest -q --durations=5 -n 2 --dist loadfile

lint: $(VENV)/ready-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/shellcheck .ci/run recipes/*.sh recipes/*.sbatch recipes/questions/*.sh benchmarks/*.sh

# Scripts that tests start as processes of their own count too (`patch` in pyproject.toml).
coverage: $(VENV)/ready-dev
	$(VENV)/bin/coverage erase
	$(VENV)/bin/coverage run -m pytest -q -n 2 --dist loadfile
	$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage report

doc-commands: $(VENV)/ready-dev
	PYTHONPATH=.:tests $(VENV)/bin/python tests/run_doc_commands.py

$(VENV)/ready: requirements.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, this is ' + sys.version.split()[0])"
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/ready-dev: requirements-dev.txt $(VENV)/ready
	$(VENV)/bin/python -m pip install --quiet --requirement requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) out/demo samples/data
