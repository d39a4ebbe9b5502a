"""`throttled` is yes while one source says so, and unknown while one that fails could be the one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import THROTTLED, Provenance
from tidegate_drivers.sensor import SensorError
from tidegate_drivers.throttling import HELD_S, Rise, discover, throttled

WriteTree = Callable[[str], Path]

COUNT = "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"
ALARM = "sys/class/hwmon/hwmon0"
COOLING = "sys/class/thermal/cooling_device0"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("tree", "file"),
    [(f"{COUNT}: 7", COUNT), (f"{ALARM}/name: soctherm_oc\n{ALARM}/oc1_event_cnt: 7", f"{ALARM}/oc1_event_cnt")],
)
def test_a_counter_that_rises_says_yes_for_a_while(write_tree: WriteTree, tree: str, file: str) -> None:
    root, clock = write_tree(tree), Clock()
    rises = Rise(clock), Rise(clock)
    (sensor,) = discover(root, *rises).sensors
    assert sensor.name == THROTTLED
    assert "first look" in read_sensor(sensor).reason
    assert read_sensor(sensor).value == "no"
    (root / file).write_text("8")
    # Looking for devices anew, as happens every minute, must not forget what was seen.
    (sensor,) = discover(root, *rises).sensors
    assert read_sensor(sensor).value == "yes"
    clock.now += HELD_S - 1
    assert read_sensor(sensor).value == "yes"
    clock.now += 1
    assert read_sensor(sensor).value == "no"


@pytest.mark.parametrize(
    ("kind", "state", "value"),
    [
        ("cpufreq-cpu0", "1", "yes"),
        ("thermal-devfreq-0", "0", "no"),
        ("Processor", "2", "yes"),
        ("pwm-fan", "2", None),
    ],
)
def test_a_cooling_device_of_the_chip_that_works_says_yes(
    write_tree: WriteTree, kind: str, state: str, value: str | None
) -> None:
    root = write_tree(
        f"{COOLING}/type: {kind}\n{COOLING}/cur_state: {state}\n{COOLING}/max_state: 4\n{COUNT[:31]}x: 1"
    )
    found = discover(root)
    assert [read_sensor(sensor).value for sensor in found.sensors] == ([] if value is None else [value])
    assert len(found.unavailable) == (value is None)


def test_a_source_that_fails_leaves_it_unknown_unless_another_says_yes() -> None:
    def fails() -> bool:
        raise SensorError("gone")

    asked = []

    def notes() -> bool:
        asked.append(True)
        return False

    assert throttled([fails, lambda: True, notes]) == "yes"
    assert asked
    with pytest.raises(SensorError, match="gone"):
        throttled([fails, notes])
    assert throttled([notes]) == "no"


def test_what_can_not_be_told_apart_makes_it_partial(write_tree: WriteTree) -> None:
    root = write_tree(f"{COOLING}/type: Processor\n{COOLING}/cur_state: 0\n{COOLING}/max_state: 3\n{ALARM}/name:")
    found = discover(root)
    (sensor,) = found.sensors
    assert (read_sensor(sensor).value, sensor.provenance) == ("no", Provenance.MEASURED_PARTIAL)
    assert [missing.name for missing in found.unavailable] == ["throttled/unread"]
    assert "hwmon0/name" in found.unavailable[0].reason
