"""Whole builds, of which most of the time would be spent on times that nothing here rests on."""

from collections.abc import Iterator
from functools import partial

import pytest

from tidegate.calibration.measure import cpu_time, figures
from tidegate.calibration.measure.latency import measure_latency


@pytest.fixture(scope="package", autouse=True)
def brief_measurements() -> Iterator[None]:
    """Points are timed as ever, only fewer times: tests/agent/calibration/measure is about how exactly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_time, "TURN_S", 0.001)
        patch.setattr(figures, "measure_latency", partial(measure_latency, rounds=40))
        yield
