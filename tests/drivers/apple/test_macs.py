"""Macs by what their programs print: what must come of it, all macOS drivers together.

`macs/NAME.expect` holds the same `#=` lines as the trees of tests/drivers/trees. Beside it lie NAME.pmset.txt,
NAME.powermetrics.plist (a stream of samples) and NAME.ioreg.plist; without the last, ioreg finds no battery and
prints nothing, and the other programs are not there. Written after the documented formats, none of them recorded.
"""

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tidegate_drivers.apple import powermetrics, state
from tidegate_drivers.reading import Value
from tidegate_drivers.sensor import SensorError
from tidegate_drivers.survey import read_all_once
from tidegate_drivers.wake import Wake

EXPECTATION = re.compile(r"^#= (.+?) ([=!-])(?: (.+))?$", re.MULTILINE)
# More of them, in the same form: a folder of one's own recordings.
FOLDERS = [Path(__file__).parent / "macs", *map(Path, filter(None, [os.environ.get("TIDEGATE_MACS")]))]
MACS = sorted(path for folder in FOLDERS for path in folder.glob("*.expect"))
BOUND_S = 20.0


class Mac:
    """The programs of one case; everything else fails as the system would."""

    def __init__(self, case: Path) -> None:
        self._case = case

    def file(self, program: str) -> Path:
        return self._case.with_suffix({"pmset": ".pmset.txt"}.get(program, f".{program}.plist"))

    def notify_state(self, key: str) -> int:
        raise OSError(key)

    def open_notice(self, key: str) -> Wake:
        raise OSError(key)

    def process_thermal_state(self) -> int:
        raise OSError("no NSProcessInfo")

    def sysctl_int(self, name: str) -> int:
        raise OSError(name)

    def output_of(self, command: Sequence[str]) -> bytes:
        file = self.file(command[0])
        if command[0] == "ioreg" and not file.exists():
            return b""
        return file.read_bytes()


@pytest.fixture(autouse=True)
def _programs_that_print_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate_drivers.survey._SECOND_LOOK_AFTER_S", 0.0)


def read(case: Path) -> tuple[dict[str, Value], dict[str, str]]:
    """The value of each name, of the first driver that has one, and every reason why not, joined by name."""
    mac = Mac(case)
    found = [state.discover(mac)]
    if mac.file("powermetrics").exists():
        meter = powermetrics.Powermetrics(("cat", str(mac.file("powermetrics"))))
        ends_at = time.monotonic() + BOUND_S
        while time.monotonic() < ends_at:
            try:
                meter.sample()
                break
            except SensorError as error:
                if "ended" in str(error):
                    break
                time.sleep(0.01)
        found.append(powermetrics.discover(meter))
    values: dict[str, Value] = {}
    reasons: dict[str, str] = {}
    for report in read_all_once(found):
        assert "defect" not in " ".join(reading.reason for reading in report.readings.values())
        for name, reading in report.readings.items():
            if reading.value is not None:
                values.setdefault(name, reading.value)
            else:
                reasons[name] = reasons.get(name, "") + reading.reason
        for missing in report.unavailable:
            reasons[missing.name] = reasons.get(missing.name, "") + missing.reason
    return values, reasons


@pytest.mark.parametrize("case", MACS, ids=lambda case: case.stem)
def test_mac_is_read_as_it_says(case: Path) -> None:
    text = case.read_text()
    values, reasons = read(case)
    wrong: list[str] = []
    for name, sign, wanted in EXPECTATION.findall(text):
        value, reason = values.get(name), reasons.get(name, "")
        if sign == "=":
            right = value == pytest.approx(float(wanted)) if isinstance(value, float) else value == wanted
        elif sign == "!":
            right = value is None and reason != "" and wanted in reason
        else:
            right = value is None and not reason
        if not right:
            wrong.append(f"{name} {sign} {wanted}: says {value} {reason}")
    assert not wrong
    assert len(EXPECTATION.findall(text)) == text.count("#=") > 0
