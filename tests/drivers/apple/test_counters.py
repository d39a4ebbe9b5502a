"""Energy counters of an Apple chip, from recorded steps."""

import pytest

from tidegate_drivers.apple.counters import ChipMeter
from tidegate_drivers.clocks import Clocks
from tidegate_drivers.sensor import SensorError


class Counted:
    def __init__(self, cpu: int | None) -> None:
        self.cpu_total_mj, self.gpu_mj, self.ane_mj, self.dram_mj = cpu, 1000, None, 500


def test_counters_that_move_in_batches_give_even_power() -> None:
    steps = iter([(10_000, 0.0), (10_000, 1.0), (20_000, 2.0), (20_000, 3.0), (30_000, 4.0)])
    now = 0.0

    def counted() -> Counted:
        nonlocal now
        cpu, now = next(steps)
        return Counted(cpu)

    meter = ChipMeter(counted, lambda: Clocks(now, now))
    powers = []
    for _ in range(5):
        try:
            powers.append(meter.power_w())
        except SensorError:
            powers.append(None)
    assert powers == [None, None, 5.0, 5.0, 5.0]


def test_cpu_counter_that_stays_zero_is_no_power() -> None:
    with pytest.raises(SensorError, match="macOS 27"):
        ChipMeter(lambda: Counted(0)).power_w()
