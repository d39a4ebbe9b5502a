"""Formats of macOS, from recordings written after their documentation; none was made on a Mac by us."""

import plistlib

import pytest

from drivers.apple.recorded import (
    RecordError,
    memory_level,
    pmset_battery,
    power_sample,
    signed,
    smart_battery,
    thermal_pressure,
)

ON_BATTERY = {
    "CurrentCapacity": 85,
    "MaxCapacity": 100,
    "Amperage": -1234,
    "Voltage": 12_000,
    "ExternalConnected": False,
    "Temperature": 3069,
}
SAMPLE = {
    "elapsed_ns": 2_000_000_000,
    "thermal_pressure": "Moderate",
    "processor": {"cpu_power": 4210.5, "gpu_power": 120.0, "ane_power": 0.0, "combined_power": 4330.5},
    "gpu": {"freq_hz": 389.0},
}


def battery(**changes: object) -> bytes:
    return plistlib.dumps([ON_BATTERY | changes])


def sample(**changes: object) -> bytes:
    return plistlib.dumps(SAMPLE | changes)


def test_battery_on_its_own() -> None:
    found = smart_battery(battery())
    assert found is not None
    assert (found.percent, found.external, found.temperature_c) == (85.0, False, 30.69)
    assert found.outflow_w == pytest.approx(14.808)


def test_amperage_as_unsigned_number() -> None:
    assert signed((1 << 64) - 1234) == -1234
    found = smart_battery(battery(Amperage=(1 << 64) - 1234))
    assert found is not None
    assert found.outflow_w == pytest.approx(14.808)


def test_desktop_has_no_battery() -> None:
    assert smart_battery(b"") is None


@pytest.mark.parametrize(
    "plist",
    [
        b"<plist",
        b"\xff\x00",
        plistlib.dumps([]),
        plistlib.dumps({"a": 1}),
        battery(Amperage="many"),
        battery(Amperage=1 << 40),
        battery(CurrentCapacity=101),
        battery(MaxCapacity=0),
        battery(Voltage=12),
        battery(Voltage=True),
    ],
)
def test_nonsense_about_the_battery_is_refused(plist: bytes) -> None:
    with pytest.raises(RecordError):
        smart_battery(plist)


def test_pmset() -> None:
    text = "Now drawing from 'Battery Power'\n -InternalBattery-0 (id=4587619)\t85%; discharging; 4:02 remaining\n"
    assert pmset_battery(text) == ("battery", 85.0)
    assert pmset_battery("Now drawing from 'AC Power'\n") == ("external", None)
    for nonsense in ("", "Now drawing from 'The Sun'", text.replace("85", "850")):
        with pytest.raises(RecordError):
            pmset_battery(nonsense)


def test_powermetrics_sample() -> None:
    found = power_sample(sample())
    assert (found.elapsed_s, found.power_w, found.pressure) == (2.0, 4.3305, "fair")
    assert found.parts_w == {"cpu": 4.2105, "gpu": 0.12, "ane": 0.0}


@pytest.mark.parametrize(
    "plist",
    [
        b"",
        sample(processor={}),
        sample(processor={"cpu_power": 1.0}),
        sample(processor={"combined_power": -1.0}),
        sample(elapsed_ns=0),
        plistlib.dumps([1]),
    ],
)
def test_nonsense_from_powermetrics_is_refused(plist: bytes) -> None:
    with pytest.raises(RecordError):
        power_sample(plist)


def test_levels() -> None:
    assert [thermal_pressure(state) for state in range(5)] == [
        "nominal",
        "fair",
        "serious",
        "critical",
        "critical",
    ]
    assert [memory_level(level) for level in (1, 2, 4)] == ["normal", "warn", "critical"]
    for read, unknown in ((thermal_pressure, 5), (memory_level, 3)):
        with pytest.raises(RecordError):
            read(unknown)
