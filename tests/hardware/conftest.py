"""Checks that only a person with the device can run: `./install.sh test --hardware`. Else nothing is collected."""

import json
import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from agent.bench.figures import machine
from drivers.boards.board import read_board
from drivers.catalog import discover_all
from drivers.survey import DriverReport, read_all_once

collect_ignore_glob = [] if os.environ.get("TIDEGATE_HARDWARE") == "1" else ["test_*.py"]


@pytest.fixture(scope="session")
def reports() -> Iterator[tuple[DriverReport, ...]]:
    """What every driver says of this device; written to a file when the checks are done."""
    found = read_all_once(discover_all(), deadline_s=15)
    yield found
    board = read_board(Path("/"))
    document = {
        "machine": machine(),
        "macos": platform.mac_ver()[0],
        "board": None if board is None else asdict(board),
        "drivers": {
            report.driver: {
                "readings": {name: asdict(reading) for name, reading in report.readings.items()},
                "refusals": [asdict(refusal) for refusal in report.refusals],
            }
            for report in found
        },
    }
    path = Path("tidegate-hardware.json").resolve()
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\nThe report is {path}. Please attach it to an issue.")  # noqa: T201  for the person at the device
