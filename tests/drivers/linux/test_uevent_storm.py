"""A storm of uevents through the real kernel, with the program of `tidegate bench driver-cost`."""

import json
import sys
from pathlib import Path

from network_namespace import apart

from tidegate_drivers.testing import device_tree


def test_storm_ends_with_the_right_state(tmp_path: Path) -> None:
    device_tree.write(device_tree.load("laptop"), tmp_path)
    result = json.loads(
        apart(sys.executable, "-m", "tidegate_bench.drivers.uevent_storm", str(tmp_path), "1", "1000")
    )
    assert not result["sender_failed"]
    assert result["last_state_right_after_s"] is not None
    assert result["storm_cpu_percent"] < 50
