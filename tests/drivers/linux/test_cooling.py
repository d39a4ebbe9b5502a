"""Cooling devices in % of what they can."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.linux.cooling import discover
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Provenance

WriteTree = Callable[[str], Path]

DEVICE = "sys/class/thermal/cooling_device0"


@pytest.mark.parametrize(
    ("state", "most", "percent"),
    [("1", "4", 25.0), ("0", "4", 0.0), ("-1", "50", None), ("5", "4", None)],
)
def test_state(write_tree: WriteTree, state: str, most: str, percent: float | None) -> None:
    root = write_tree(f"{DEVICE}/type: pwm-fan\n{DEVICE}/cur_state: {state}\n{DEVICE}/max_state: {most}")
    (sensor,) = discover(root).sensors
    assert (sensor.name, read_sensor(sensor).value) == ("cooling/pwm-fan", percent)


def test_device_without_a_readable_type_makes_the_others_partial(write_tree: WriteTree) -> None:
    root = write_tree(f"{DEVICE}/type: fan\n{DEVICE}/cur_state: 1\n{DEVICE}/max_state: 1")
    write_tree("sys/class/thermal/cooling_device1/type: a\\nb")
    found = discover(root)
    assert found.sensors[0].provenance is Provenance.MEASURED_PARTIAL
    assert found.unavailable[0].name == "cooling/cooling_device1"


def test_processor_without_throttling_states_is_no_cooling_device(write_tree: WriteTree) -> None:
    states = ""
    for number, most in enumerate((0, 4)):
        device = f"sys/class/thermal/cooling_device{number}"
        states += f"{device}/type: Processor\n{device}/cur_state: {number}\n{device}/max_state: {most}\n"
    (sensor,) = discover(write_tree(states)).sensors
    assert sensor.read() == 25.0
