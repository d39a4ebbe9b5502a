"""Formats of macOS, from recordings written after their documentation; none was made on a Mac by us."""

import plistlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate_drivers.apple import pmset
from tidegate_drivers.apple.levels import memory_level, thermal_pressure
from tidegate_drivers.apple.plist import RecordError, split
from tidegate_drivers.apple.power_sample import power_sample
from tidegate_drivers.apple.smart_battery import SmartBattery, signed, smart_battery

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


def told(**changes: object) -> SmartBattery:
    found = smart_battery(battery(**changes))
    assert found is not None
    return found


def test_battery_on_its_own() -> None:
    found = told()
    assert (found.percent(), found.external(), found.celsius()) == (85.0, False, 30.69)
    assert found.outflow_w() == pytest.approx(14.808)


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_amperage_as_unsigned_number(bits: int) -> None:
    assert signed((1 << bits) - 1234) == -1234
    assert told(Amperage=(1 << bits) - 1234).outflow_w() == pytest.approx(14.808)


def test_positive_numbers_stay() -> None:
    assert [signed(number) for number in (0, 1, 32_767, 70_000)] == [0, 1, 32_767, 70_000]


def test_desktop_has_no_battery() -> None:
    assert smart_battery(b"") is smart_battery(plistlib.dumps([])) is None


@pytest.mark.parametrize("plist", [b"<plist", b"\xff\x00", b"no", plistlib.dumps({"a": 1}), plistlib.dumps([[7]])])
def test_what_is_no_battery_is_refused(plist: bytes) -> None:
    with pytest.raises(RecordError):
        smart_battery(plist)


def test_nonsense_costs_only_what_it_says() -> None:
    for changes, ask in (
        ({"Amperage": "many"}, SmartBattery.outflow_w),
        ({"Amperage": 1 << 40}, SmartBattery.outflow_w),
        ({"Amperage": 33_000_000}, SmartBattery.outflow_w),
        ({"Voltage": 12}, SmartBattery.outflow_w),
        ({"Voltage": True}, SmartBattery.outflow_w),
        ({"CurrentCapacity": 120}, SmartBattery.percent),
        ({"MaxCapacity": 0}, SmartBattery.percent),
        ({"ExternalConnected": "Yes"}, SmartBattery.external),
        ({"Temperature": 20_000}, SmartBattery.celsius),
        ({}, SmartBattery.energy_wh),
        ({"AppleRawMaxCapacity": 9000, "DesignCapacity": 4000}, SmartBattery.health_percent),
        ({"PowerTelemetryData": {"SystemLoad": 0}}, SmartBattery.load_w),
    ):
        found = told(**changes)
        with pytest.raises(RecordError):
            ask(found)
        assert ask is SmartBattery.celsius or found.celsius() == 30.69


def test_pmset() -> None:
    text = "Now drawing from 'Battery Power'\n -InternalBattery-0 (id=4587619)\t85%; discharging; 4:02 remaining\n"
    found = pmset.read(text)
    assert (found.source, found.battery) == ("battery", pmset.Charge(85.0, "discharging"))
    assert pmset.read("Now drawing from 'AC Power'\n") == pmset.Pmset("external", None)
    for nonsense in ("", "Now drawing from 'The Sun'"):
        with pytest.raises(RecordError):
            pmset.read(nonsense)
    assert "850%" in pmset.read(text.replace("85", "850")).unread


def test_powermetrics_sample() -> None:
    found = power_sample(sample())
    assert (found.power_w, found.pressure) == (4.3305, "fair")
    assert found.parts_w == {"cpu": 4.2105, "gpu": 0.12, "ane": 0.0}


@pytest.mark.parametrize("plist", [b"", b"Second underflow occured.", plistlib.dumps([1]), sample()[:200]])
def test_what_is_no_sample_is_refused(plist: bytes) -> None:
    with pytest.raises(RecordError):
        power_sample(plist)


@pytest.mark.parametrize(
    "changes",
    [
        {"processor": {}},
        {"processor": {"cpu_power": 1.0}},
        {"processor": {"combined_power": -1.0}},
        {"processor": {"cpu_power": float("nan"), "combined_power": 4.0}},
        {"processor": {"cpu_energy": 5, "gpu_energy": 1, "package_energy": 6}, "elapsed_ns": 0},
        {"processor": {"package_joules": 0.0}},
    ],
)
def test_sample_without_the_whole_has_no_power(changes: dict[str, object]) -> None:
    found = power_sample(sample(**changes))
    assert found.power_w is None
    assert found.reasons["power"]


@given(
    st.lists(st.binary(max_size=20).map(lambda junk: junk.replace(b"\0", b"").replace(b"<", b"")), max_size=4),
    st.integers(1, 60),
)
def test_samples_are_found_however_the_stream_is_cut(junk: list[bytes], chunk: int) -> None:
    stream = b"".join(each + sample() + b"\n\0" for each in junk) + sample()
    found: list[bytes] = []
    waiting = b""
    for at in range(0, len(stream), chunk):
        complete, waiting = split(waiting + stream[at : at + chunk])
        found += complete
    read = [power_sample(each).power_w for each in found if each.rstrip().endswith(b"</plist>")]
    assert read == [4.3305] * (len(junk) + 1)


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
