"""Energy windows: each source's rise between two points, None where it can't be known."""

import time
from collections.abc import Callable, Iterator

import pytest

from tidegate_drivers import EnergyMonitor, energy_windows
from tidegate_drivers.reading import ENERGY, POWER, Provenance, Unit, Value
from tidegate_drivers.sensor import Discovery, NotRisenError, Sensor, SensorError


def counter(name: str, read: Callable[[], Value], source: str) -> Sensor:
    return Sensor(name, Unit.JOULE, Provenance.MEASURED, source, read)


def values(*each: float | Exception) -> Callable[[], float]:
    left: Iterator[float | Exception] = iter(each)

    def read() -> float:
        value = next(left)
        if isinstance(value, Exception):
            raise value
        return value

    return read


def measured(*reads: float | Exception, name: str = "energy_counter/0 GPU") -> float | None:
    monitor = EnergyMonitor([Discovery("nvidia", (counter(name, values(*reads), "nvidia/0 GPU"),))])
    monitor.begin_window("w")
    (joules,) = monitor.end_window("w").energy_j.values()
    return joules


def test_counter_s_rise_is_the_energy() -> None:
    assert measured(2565.5, 9065.75) == 6500.25


@pytest.mark.parametrize(
    "reads",
    [
        (100.0, 100.0),  # stands still
        (100.0, 3.0),  # was reset
        (100.0, SensorError("gone")),
        (SensorError("busy"), 100.0),  # what it counted before the window is not the window's
        (OSError("gone"), 100.0),
    ],
)
def test_what_is_not_known_is_none_and_never_zero(reads: tuple[float | Exception, ...]) -> None:
    assert measured(*reads) is None


def test_counter_from_its_first_read_on_begins_at_zero() -> None:
    assert measured(NotRisenError("not yet"), 12.5, name=ENERGY) == 12.5


def test_windows_overlap_and_each_has_its_own_rise() -> None:
    monitor = EnergyMonitor([Discovery("rapl", (counter(ENERGY, values(0.5, 1.5, 4.0, 9.0), "rapl/psys"),))])
    monitor.begin_window("outer")
    monitor.begin_window("inner")
    assert monitor.end_window("outer").energy_j == {"rapl/psys": 3.5}
    assert monitor.end_window("inner").energy_j == {"rapl/psys": 7.5}


def test_name_is_open_once_and_ended_once() -> None:
    monitor = EnergyMonitor([])
    assert monitor.sources == ()
    monitor.begin_window("w")
    with pytest.raises(ValueError, match="'w' is open already"):
        monitor.begin_window("w")
    assert monitor.end_window("w").energy_j == {}
    with pytest.raises(ValueError, match="no energy window 'w' is open"):
        monitor.end_window("w")


def test_sources_are_counters_and_meters_but_no_gauge_and_no_part_of_a_counted_whole() -> None:
    def never() -> float:
        raise SensorError("not asked here")

    def power(name: str, source: str, provenance: Provenance = Provenance.MEASURED) -> Sensor:
        return Sensor(name, Unit.WATT, provenance, source, never)

    found = [
        Discovery("meter", (power(POWER, "meter/plug"),)),
        Discovery("power_supply", (power(POWER, "power_supply/BAT0"),)),
        Discovery("jetson", (power(POWER, "jetson/VDD_IN"), power("power/VDD_GPU", "jetson/VDD_GPU"))),
        Discovery("raspberry_pi", (power(POWER, "pmic", Provenance.ESTIMATED),)),
        Discovery(
            "rapl",
            (
                power(POWER, "rapl/psys"),
                counter(ENERGY, never, "rapl/psys"),
                counter("energy_counter/core", never, "rapl/core"),
            ),
        ),
        Discovery(
            "nvidia", (power("power/0 GPU", "nvidia/0 GPU"), counter("energy_counter/0 GPU", never, "nvidia/0"))
        ),
    ]
    assert EnergyMonitor(found).sources == ("meter/plug", "jetson/VDD_IN", "rapl/psys", "nvidia/0 GPU")


def test_counters_are_read_meanwhile_so_that_no_wrap_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy_windows, "_READ_COUNTERS_EVERY_S", 0.01)
    reads: list[float] = []

    def read() -> float:
        reads.append(1.0 + len(reads))
        return reads[-1]

    monitor = EnergyMonitor([Discovery("rapl", (counter(ENERGY, read, "rapl/psys"),))])
    monitor.begin_window("w")
    ends_at = time.monotonic() + 20
    while len(reads) < 4 and time.monotonic() < ends_at:
        time.sleep(0.01)
    joules = monitor.end_window("w").energy_j["rapl/psys"]
    assert joules is not None
    assert joules >= 4
    after = len(reads)
    time.sleep(0.1)
    assert len(reads) == after
