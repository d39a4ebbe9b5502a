"""What is said of a ladder that saves little: the reason that counts most, and what would help."""

from dataclasses import replace

import pytest

from tidegate.calibration.assemble.short_ladder import LadderEnd, Rejected, why_short
from tidegate.calibration.measure.exit_times import ExitTime, ExitTimes

ALPHAS = (0.01, 0.015)
CHEAP = ExitTimes(1.0, {"block": ExitTime(0.3, 0.01)})
END = LadderEnd("onnx", 0.95, CHEAP, Rejected(0.02, 0.021), 500, 2000, ALPHAS, ())


def test_of_a_ladder_that_saves_nothing_is_said() -> None:
    assert why_short(replace(END, time_ratio=0.5)) is None


@pytest.mark.parametrize(
    ("end", "part"),
    [
        (END, "too few samples can be answered early"),
        (replace(END, times=replace(CHEAP, exits={"block": ExitTime(0.3, 0.2)})), "an exit takes 200 us"),
        (replace(END, times=replace(CHEAP, exits={})), "no sample can leave early"),
        (replace(END, times=None), "no sample can leave early"),
        (replace(END, rejected=Rejected(0.01, 0.05)), "5.0% failed where 500 inputs to search on foresaw 1.0%"),
        (replace(END, rejected=None), "too few samples"),
        (
            replace(END, certify_inputs=200, uncertifiable=((0.01, 436), (0.015, 290))),
            "no loss up to 1.5% can be certified with 200 inputs",
        ),
        (replace(END, uncertifiable=((0.01, 436),)), "too few samples"),
    ],
)
def test_the_reason_comes_with_what_the_ladder_saves(end: LadderEnd, part: str) -> None:
    said = why_short(end)
    assert said is not None
    assert said.startswith("onnx: the cheapest certified point saves 5% of the time: ")
    assert part in said


def test_a_point_that_takes_longer_saves_nothing() -> None:
    said = why_short(replace(END, time_ratio=1.2))
    assert said is not None
    assert "saves 0% of the time" in said
