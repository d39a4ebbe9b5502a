"""A short day, a small device and the assumed ladder, for the tests of the simulation."""

from datetime import time

from tidegate.boards.device import Device
from tidegate.policy.policy import Goals
from tidegate.simulation.scenario import Scenario
from tidegate_bench.control.cases import reference_ladder

LADDER = reference_ladder()
DEVICE = Device("test", idle_w=1.5, active_w=3.0, battery_wh=12.0, heat_k_per_w=6.0, heat_span_s=300.0)
HOURS = 4
SECONDS = HOURS * 3600
LASTS = Goals(battery_until=time(HOURS), reserve_percent=2.0)


def scenario(ambient_c=22.0, supply_w=0.0, requests_hz=10.0, competing=0.0, charge_percent=100.0):
    """Four hours from midnight in which nothing changes."""
    return Scenario(
        "steady",
        0.0,
        [ambient_c] * SECONDS,
        [supply_w] * SECONDS,
        [requests_hz] * SECONDS,
        [competing] * SECONDS,
        [frozenset()] * SECONDS,
        charge_percent,
    )
