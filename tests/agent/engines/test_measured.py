"""What was measured once is not measured again, on the same device."""

from pathlib import Path

import pytest

from tidegate.engines.runtime import device, measured
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.measured import Measured, Measurements


class Counted:
    def __init__(self, *doubts: str) -> None:
        self.calls = 0
        self.before: list[object] = []
        self._doubts = doubts

    def __call__(self, before: dict[str, object] | None) -> Measured:
        doubt = self._doubts[min(self.calls, len(self._doubts) - 1)] if self._doubts else ""
        self.before.append(before)
        self.calls += 1
        return Measured({"call": self.calls}, doubt)


def test_kept_by_topic_and_subject(tmp_path: Path) -> None:
    measure = Counted()
    for _ in range(2):
        assert Measurements(Cache(tmp_path / "new")).value("choice", "a", measure) == {"call": 1}
    assert Measurements(Cache(tmp_path / "new")).value("choice", "b", measure) == {"call": 2}
    assert Measurements(Cache(tmp_path / "new")).value("other", "a", measure) == {"call": 3}


def test_other_software_is_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Counted()
    Measurements(Cache(tmp_path)).value("choice", "a", measure)
    monkeypatch.setattr(device, "installed_version", lambda name: "99")
    Measurements(Cache(tmp_path)).value("choice", "a", measure)
    assert measure.calls == 2


def test_a_torn_file_is_measured_anew_and_mended(tmp_path: Path) -> None:
    measure = Counted()
    Measurements(Cache(tmp_path)).value("choice", "a", measure)
    (kept,) = tmp_path.iterdir()
    kept.write_text('{"call"')
    assert Measurements(Cache(tmp_path)).value("choice", "a", measure) == {"call": 2}
    assert Measurements(Cache(tmp_path)).value("choice", "a", measure) == {"call": 2}


@pytest.mark.parametrize("directory", [None, Path("/proc/nowhere")])
def test_without_a_place_to_keep_it_is_measured_each_time(directory: Path | None) -> None:
    measure = Counted()
    for _ in range(2):
        Measurements(Cache(directory)).value("choice", "a", measure)
    assert measure.calls == 2


def starts(monkeypatch: pytest.MonkeyPatch, directory: Path, measure: Counted, count: int) -> list[int]:
    """At which of so many starts of an agent it was measured."""
    measured_at = []
    for number in range(count):
        monkeypatch.setattr(measured, "_session", lambda number=number: number)
        calls = measure.calls
        for _ in range(3):  # a worker and its children ask more than once
            Measurements(Cache(directory)).value("choice", "a", measure)
        measured_at += [number] * (measure.calls - calls)
    return measured_at


def test_what_was_measured_in_doubt_is_measured_again_ever_more_seldom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = Counted("the time of eager was up")
    assert starts(monkeypatch, tmp_path, measure, 20) == [0, 1, 3, 7, 15]
    assert measure.before[:3] == [None, {"call": 1}, {"call": 2}]


def test_without_a_doubt_it_is_kept_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Counted("the time of eager was up", "")
    assert starts(monkeypatch, tmp_path, measure, 20) == [0, 1]


def test_what_an_earlier_version_kept_for_good_is_measured_anew(tmp_path: Path) -> None:
    measure = Counted()
    Measurements(Cache(tmp_path)).value("choice", "a", measure)
    (kept,) = tmp_path.iterdir()
    kept.write_text('{"engines": {}, "reasons": ["full: no engine runs it (onnx was not done after 30 s)"]}')
    assert Measurements(Cache(tmp_path)).value("choice", "a", measure) == {"call": 2}
