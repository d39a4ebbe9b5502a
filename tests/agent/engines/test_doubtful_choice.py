"""A choice made while the machine was busy is made again at a later start, and is not kept for good."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.engines.runtime import auto, measured
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.choice import Trial
from tidegate.engines.runtime.other_load import BUSY, OtherLoad
from tidegate.models.bundle import open_bundle

BUNDLE = open_bundle(Path(__file__).parents[3] / "profiles" / "bundles" / "digits")
NAMES = [point.name for point in BUNDLE.ladder.points]


def trials(eager_ms: float | None) -> list[Trial]:
    onnx = [Trial("onnx", name, 5.0) for name in NAMES]
    late = eager_ms is None
    reason = "was not done after 30 s" if late else ""
    return [*onnx, *(Trial("eager", name, eager_ms, reason, late) for name in NAMES)]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a function
    """Make the choice as a new worker does, with what the trials and the machine's load then are."""
    sessions = iter(range(100))

    def choose(found: list[Trial] | None, others_share: float = 0.0) -> set[str]:
        session = next(sessions)
        monkeypatch.setattr(measured, "_session", lambda: session)
        monkeypatch.setattr(OtherLoad, "share", lambda _: others_share)

        def contest(*_: object) -> list[Trial]:
            assert found is not None, "measured again"
            return found

        monkeypatch.setattr(auto, "contest", contest)
        return set(auto.make_choice(BUNDLE, ["onnx", "eager"], Cache(tmp_path)).engines.values())

    return choose


def test_an_engine_whose_time_was_up_is_tried_again(start) -> None:  # type: ignore[no-untyped-def]
    assert start(trials(eager_ms=None)) == {"onnx"}
    assert start(trials(eager_ms=1.0)) == {"eager"}
    assert start(None) == {"eager"}


def test_times_measured_beside_others_are_measured_again(start) -> None:  # type: ignore[no-untyped-def]
    assert start(trials(eager_ms=9.0), others_share=BUSY + 0.1) == {"onnx"}
    assert start(trials(eager_ms=1.0), others_share=BUSY / 2) == {"eager"}
    assert start(None) == {"eager"}


def test_a_start_that_is_busier_still_costs_no_engine(start) -> None:  # type: ignore[no-untyped-def]
    assert start(trials(eager_ms=None)) == {"onnx"}
    nothing = [
        Trial(engine, name, None, "was not done after 30 s", True)
        for engine in ("onnx", "eager")
        for name in NAMES
    ]
    assert start(nothing) == {"onnx"}


SPIN = "import sys, time\nend = time.monotonic() + float(sys.argv[1])\nwhile time.monotonic() < end: pass"


def test_the_load_of_others_is_seen() -> None:
    load = OtherLoad()
    # Not waited for until after the look, so that it counts as another's.
    other = subprocess.Popen([sys.executable, "-c", SPIN, "2"])
    subprocess.run([sys.executable, "-c", SPIN, "1"], check=True)
    share = load.share()
    other.wait()
    assert 0.1 / (os.cpu_count() or 1) < share <= 1.0
