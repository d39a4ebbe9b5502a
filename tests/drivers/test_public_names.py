"""The package's own names: loaded when they are used, and nothing heavy before a driver needs it."""

import json
import subprocess
import sys

import pytest

import tidegate_drivers

HEAVY = ("psutil", "paho", "pydantic", "numpy")
LOADED = """
import json, sys
before = set(sys.modules)
{}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(code)], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout))


def test_every_name_is_there_and_no_other() -> None:
    for name in tidegate_drivers.__all__:
        assert getattr(tidegate_drivers, name).__name__ == name
    assert set(tidegate_drivers.__all__) <= set(dir(tidegate_drivers))
    with pytest.raises(AttributeError, match="no attribute 'discover_all'"):
        tidegate_drivers.discover_all  # noqa: B018


def test_importing_the_package_loads_none_of_its_modules() -> None:
    ours = {name for name in loaded_by("import tidegate_drivers") if name.startswith("tidegate")}
    assert ours == {"tidegate_drivers"}


def test_reading_a_linux_device_loads_nothing_heavy() -> None:
    code = """
from tidegate_drivers import Sampler, discover, read
from tidegate_drivers.testing import device_tree
with device_tree.laid_out("laptop") as root:
    assert read(root).number("battery") == 50.0
"""
    loaded = loaded_by(code)
    assert "tidegate_drivers.catalog" in loaded
    assert [name for name in HEAVY if name in loaded] == []


@pytest.mark.parametrize(
    ("code", "package"),
    [
        ("from tidegate_drivers import host; host.discover().sensors[0].read()", "psutil"),
        ("from tidegate_drivers.meters import meter; meter.discover('mqtt://127.0.0.1:1/plug').stop()", "paho"),
    ],
)
def test_drivers_that_need_a_package_load_it(code: str, package: str) -> None:
    assert package in loaded_by(code)
