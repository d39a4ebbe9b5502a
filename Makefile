# The verbs of everyday work; each is one command that can be typed as well. `make` alone lists them.
PYTHON = .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help dev check fix test slow hardware bench wheel requirements release-check

help:             ## what can be asked for
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 18

dev:              ## .venv with everything for developing, building bundles and benchmarks
	./install.sh dev

check:            ## ruff, its formatter and mypy --strict
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

fix:              ## what ruff can mend by itself
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

test:             ## what CI runs: checks and every test; ARGS="tests/agent/policy -k units" for a part
	./install.sh test $(ARGS)

slow:             ## soaks and long statistics
	./install.sh test -m slow $(ARGS)

hardware:         ## the checks for this very device, with a report to attach to an issue
	./install.sh test --hardware

bench:            ## a published figure: NAME=decide ARGS=--quick
	./install.sh run -- bench $(NAME) $(ARGS)

wheel:            ## dist/tidegate-VERSION-py3-none-any.whl
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .

requirements:     ## the versions and hashes that services install, made anew; takes uv
	{ sed -n '/^#/!q; p' agent/tidegate/service/requirements.txt; \
	  uv pip compile --quiet --universal --python-version 3.11 --extra onnx --generate-hashes --no-header pyproject.toml; \
	} > requirements.new && mv requirements.new agent/tidegate/service/requirements.txt

release-check:    ## version, date and CHANGELOG agree, and the tag is free
	$(PYTHON) -m pytest -q tests/test_release.py
	@version=$$($(PYTHON) -c 'import tidegate; print(tidegate.__version__)'); \
	if git rev-parse -q --verify "refs/tags/v$$version" >/dev/null; then \
	  echo "v$$version is tagged already: raise __version__ in agent/tidegate/__init__.py"; exit 1; \
	else echo "ready: git tag -a v$$version -m 'tidegate $$version'"; fi
