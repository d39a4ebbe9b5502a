# The verbs of everyday work; each is one command that can be typed as well. `make` alone lists them.
PYTHON = .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help dev check fix test slow browser dashboard newcomer hardware bench docs wheel requirements release-dry-run release-check

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

browser:          ## the pages in headless Chromium; Debian: apt install chromium chromium-driver npm
	$(PYTHON) -m pip install --quiet --editable '.[browser]'
	npm install --silent --no-save --no-package-lock --prefix build axe-core@4.14.1
	$(PYTHON) -m pytest -m chromium tests/system/test_page_in_chromium.py tests/system/test_labels_in_chromium.py $(ARGS)

dashboard:        ## Grafana's dashboard against Grafana's own types; Debian: apt install npm
	$(PYTHON) -m pip install --quiet --editable '.[dashboard]'
	npm install --silent --no-save --no-package-lock --prefix build/grafana @grafana/schema@13.2.3 typescript@5.9.3
	$(PYTHON) -m pytest -m grafana tests/system/grafana $(ARGS)

newcomer:         ## docs/getting-started.md, typed as it stands into a fresh clone; two minutes
	./install.sh test -m slow tests/system/test_getting_started.py

hardware:         ## the checks for this very device, with a report to attach to an issue
	./install.sh test --hardware

bench:            ## a published figure: NAME=decide ARGS=--quick
	./install.sh run -- bench $(NAME) $(ARGS)

docs:             ## the documentation as a site, strictly, in dist/site; read it with a browser
	$(PYTHON) -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict

wheel:            ## dist/tidegate-VERSION-py3-none-any.whl
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .

requirements:     ## the versions and hashes that services install, made anew; takes uv
	$(PYTHON) -m release.requirements

release-dry-run:  ## all that a release consists of, built twice and checked, in dist/release; publishes nothing
	$(PYTHON) -m pip install --quiet --editable '.[release]'
	$(PYTHON) -m release.dry_run

release-check:    ## version, date and CHANGELOG agree, and the tag is free
	$(PYTHON) -m pytest -q tests/test_release.py
	@version=$$($(PYTHON) -c 'import tidegate; print(tidegate.__version__)'); \
	if git rev-parse -q --verify "refs/tags/v$$version" >/dev/null; then \
	  echo "v$$version is tagged already: raise __version__ in agent/tidegate/__init__.py"; exit 1; \
	else echo "ready: git tag -a v$$version -m 'tidegate $$version'"; fi
