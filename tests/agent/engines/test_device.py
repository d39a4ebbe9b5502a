"""What was measured once is not measured again, on the same device."""

from pathlib import Path

import pytest

from agent.engines import device
from agent.engines.device import DeviceCache


class Counted:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, object]:
        self.calls += 1
        return {"call": self.calls}


def test_kept_by_topic_and_subject(tmp_path: Path) -> None:
    measure = Counted()
    for _ in range(2):
        assert DeviceCache(tmp_path / "new").value("choice", "a", measure) == {"call": 1}
    assert DeviceCache(tmp_path / "new").value("choice", "b", measure) == {"call": 2}
    assert DeviceCache(tmp_path / "new").value("packed", "a", measure) == {"call": 3}


def test_other_software_is_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Counted()
    DeviceCache(tmp_path).value("choice", "a", measure)
    monkeypatch.setattr(device, "installed_version", lambda name: "99")
    DeviceCache(tmp_path).value("choice", "a", measure)
    assert measure.calls == 2


def test_a_torn_file_is_measured_anew_and_mended(tmp_path: Path) -> None:
    measure = Counted()
    DeviceCache(tmp_path).value("choice", "a", measure)
    (kept,) = tmp_path.iterdir()
    kept.write_text('{"call"')
    assert DeviceCache(tmp_path).value("choice", "a", measure) == {"call": 2}
    assert DeviceCache(tmp_path).value("choice", "a", measure) == {"call": 2}


@pytest.mark.parametrize("directory", [None, Path("/proc/nowhere")])
def test_without_a_place_to_keep_it_is_measured_each_time(directory: Path | None) -> None:
    measure = Counted()
    for _ in range(2):
        DeviceCache(directory).value("choice", "a", measure)
    assert measure.calls == 2
