"""psutil's memory and CPU, run on this machine; that they serve macOS is shown there only by hand."""

import pytest

from tidegate_drivers.cpu_time import CpuTime
from tidegate_drivers.host import discover, read_percent
from tidegate_drivers.sensor import SensorError


def test_memory_is_read() -> None:
    names = {sensor.name: sensor for sensor in discover().sensors}
    assert set(names) == {"memory_available", "cpu"}
    available = names["memory_available"].read()
    assert isinstance(available, float)
    assert available > 1 << 20


def test_first_utilisation_is_no_value_and_never_zero() -> None:
    cpu_time = CpuTime()
    with pytest.raises(SensorError, match="two reads"):
        read_percent(cpu_time)


def test_cpu_time_is_a_share_of_the_span() -> None:
    cpu_time = CpuTime()
    with pytest.raises(SensorError):
        cpu_time.percent_since_last(100.0, 200.0)
    assert cpu_time.percent_since_last(125.0, 300.0) == pytest.approx(75.0)
