# make demo: the method end to end, offline, in minutes · make test: the test suite · make lint: ruff
# Each sets itself up in .venv on a machine that has nothing but Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv

.PHONY: demo test lint clean
demo: $(VENV)/ready
	$(VENV)/bin/python -m samples.demo

test: $(VENV)/ready-dev
	$(VENV)/bin/python -m pytest -q --durations=5 -n 2 --dist loadfile

lint: $(VENV)/ready-dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

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
