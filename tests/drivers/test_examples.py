"""The examples in the drivers' docstrings run as they stand, and every public name has one."""

import doctest
import inspect
from importlib import import_module
from pathlib import Path

import pytest

import tidegate_drivers

ROOT = Path(tidegate_drivers.__file__).parents[1]
WITH_EXAMPLES = sorted(
    ".".join(source.relative_to(ROOT).with_suffix("").parts)
    for source in Path(tidegate_drivers.__file__).parent.rglob("*.py")
    if ">>>" in source.read_text()
)
# Plain records, whose docstring is their contract: one gets them and does not make them.
RECORDS = {"Discovery", "Reading", "Snapshot"}


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run_as_they_stand(module: str) -> None:
    ended = doctest.testmod(import_module(module))
    assert (ended.failed, ended.attempted > 0) == (0, True)


@pytest.mark.parametrize("name", sorted(set(tidegate_drivers.__all__) - RECORDS))
def test_public_name_has_an_example(name: str) -> None:
    assert ">>>" in (inspect.getdoc(getattr(tidegate_drivers, name)) or "")
