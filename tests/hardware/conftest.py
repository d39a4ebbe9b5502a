"""Checks that only a person with the device can run: `./install.sh test --hardware`. Else nothing is collected.

What they leave is one file for an issue: the readings, what the drivers asked and got, and how each check ended.
"""

import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from recording import Recording, who_asks

from tidegate_bench.figures import Figures, machine
from tidegate_bench.placements import bench
from tidegate_drivers.boards.board import read_board
from tidegate_drivers.catalog import discover
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.sensor import Discovery, WakeOn
from tidegate_drivers.survey import DriverReport, read_all_once

REPORT = Path("tidegate-hardware.json")
collect_ignore_glob = [] if os.environ.get("TIDEGATE_HARDWARE") == "1" else ["test_*.py"]

_document: dict[str, object] = {}
_checks: dict[str, str] = {}


@pytest.fixture(scope="session")
def reports() -> Iterator[tuple[DriverReport, ...]]:
    """What every driver says of this device."""
    board = read_board(Path("/"))
    recording = Recording()
    recording.start()
    try:
        discoveries = discover()
        found = read_all_once(discoveries, deadline_s=15)
    finally:
        recording.stop()
    _document.update(
        {
            "machine": machine(),
            "macos": platform.mac_ver()[0],
            "board": None if board is None else asdict(board),
            "user": who_asks(),
            "drivers": {
                report.driver: {
                    "readings": {name: asdict(reading) for name, reading in report.readings.items()},
                    "refusals": [asdict(missing) for missing in report.unavailable],
                }
                for report in found
            },
            "events": {each.driver: [_opens(wake_on) for wake_on in each.wake_on] for each in discoveries},
            "read_ms": {each.driver: _read_ms(each) for each in discoveries},
            "answers": dict(sorted(recording.answers.items())),
        }
    )
    yield found
    for each in discoveries:
        if each.stop is not None:
            each.stop()


@pytest.fixture(scope="session")
def placements() -> Figures:
    """Every engine and compute unit of this device, on the shipped bundle."""
    found = bench.run()
    _document["placements"] = {"rows": list(found.rows), "goals": [asdict(goal) for goal in found.goals]}
    return found


def _opens(wake_on: WakeOn) -> str:
    """Whether events of these topics can be heard here."""
    topics = ", ".join(sorted(wake_on.topics))
    try:
        wake_on.open().close()
    except OSError as error:
        return f"{topics}: {error}"
    return f"{topics}: heard"


def _read_ms(found: Discovery) -> dict[str, float]:
    """How long each sensor takes."""
    took: dict[str, float] = {}
    for sensor in found.sensors:
        began_at = time.perf_counter()
        read_sensor(sensor)
        took[sensor.name] = round(1000 * (time.perf_counter() - began_at), 3)
    return took


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep how each check ended, with all that it printed of a failure."""
    if report.when == "call" or report.outcome != "passed":
        why = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else report.longreprtext
        _checks[report.nodeid.rpartition("::")[2]] = f"{report.outcome} {why}".strip()


def pytest_sessionfinish() -> None:
    """Write the report."""
    if _document:
        REPORT.write_text(json.dumps({**_document, "checks": _checks}, indent=2) + "\n")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say where the report is and what is in it."""
    if _document:
        terminalreporter.write_line(f"The report is {REPORT.resolve()}.")
        terminalreporter.write_line(
            "It holds the readings, the files and commands that were read (serial numbers left out), and how each "
            "check ended. Please look through it and attach it to an issue."
        )
