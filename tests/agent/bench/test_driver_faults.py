"""Files that fail for real, through FUSE: each reading of each driver is right, or has a reason."""

import os
import platform

import pytest

from tidegate_bench.drivers.faults import check_tree
from tidegate_drivers.testing import device_tree
from tidegate_drivers.testing.fault_mount import FaultMountError, mounted

# One case in so many keeps the whole of it within seconds; `tidegate bench driver-faults` runs them all.
EVERY = 97


@pytest.fixture(autouse=True, scope="module")
def _fuse() -> None:
    try:
        with mounted({"proc/stat": b""}):
            pass
    except FaultMountError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{error}; ./install.sh test installs what is needed")
        pytest.skip(f"NOT RUN on {platform.system()}: {error}")


@pytest.mark.parametrize("tree", device_tree.names())
def test_never_a_wrong_value(tree: str) -> None:
    cases = list(check_tree(tree, EVERY))
    assert [f"{case}: {failure}" for case, failure in cases if failure] == []
    assert len(cases) > 5
