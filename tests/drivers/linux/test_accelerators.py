"""Load, clock and throttle reasons of graphics and neural accelerators, in each form that drivers have."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.linux.accelerators import discover
from tidegate_drivers.linux.busy_share import BusyShare
from tidegate_drivers.linux.graphics import throttled_sources
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.reading import Provenance, Value
from tidegate_drivers.sensor import SensorError
from tidegate_drivers.throttling import discover as discover_throttling

WriteTree = Callable[[str], Path]

CARD = "sys/class/drm/card1"
GT = f"{CARD}/gt/gt0"


def read(root: Path) -> dict[str, Value | None]:
    return {sensor.name: read_sensor(sensor).value for sensor in discover(root).sensors}


def why(root: Path) -> dict[str, str]:
    found = discover(root)
    reasons = {missing.name: missing.reason for missing in found.unavailable}
    return reasons | {sensor.name: read_sensor(sensor).reason for sensor in found.sensors}


def test_machine_without_any_says_nothing(write_tree: WriteTree) -> None:
    found = discover(write_tree("proc/stat: cpu 1"))
    assert found.sensors == found.unavailable == ()


@pytest.mark.parametrize(
    ("tree", "values"),
    [
        (
            f"{CARD}/device/gpu_busy_percent: 0\n{CARD}/device/hwmon/hwmon3/freq1_input: 500000000",
            {"gpu/card1": 0.0, "frequency/card1": 5e8},
        ),
        (f"{CARD}/gt_cur_freq_mhz: 350", {"frequency/card1": 3.5e8}),
        (f"{CARD}/gt_cur_freq_mhz: 350\n{CARD}/gt_act_freq_mhz: 300", {"frequency/card1": 3e8}),
        (f"{GT}/rps_cur_freq_mhz: 700", {"frequency/card1/gt0": 7e8}),
        (
            "sys/class/devfreq/devfreq0/name: 13000000.mali\nsys/class/devfreq/devfreq0/cur_freq: 390000000",
            {"frequency/13000000.mali": 3.9e8},
        ),
        ("sys/devices/gpu.0/load: 1000", {"gpu/gpu.0": 100.0}),
        (
            "sys/class/devfreq/57000000.gpu/cur_freq: 76800000\nsys/devices/57000000.gpu/load: 5",
            {"gpu/57000000.gpu": 0.5, "frequency/57000000.gpu": 7.68e7},
        ),
        # Buses, memory and flash scale their clock as well, some of them in a GPU's name.
        (
            "sys/class/devfreq/soc:qcom,gpubw/cur_freq: 5000000\nsys/class/devfreq/1d.ufshc/cur_freq: 75000000",
            {},
        ),
    ],
)
def test_forms(write_tree: WriteTree, tree: str, values: dict[str, Value]) -> None:
    assert read(write_tree(tree)) == values


@pytest.mark.parametrize(
    ("tree", "name", "reason"),
    [
        (f"{CARD}/device/gpu_busy_percent: 101", "gpu/card1", "plausible is 0 to 100"),
        (f"{CARD}/gt_act_freq_mhz: 0", "frequency/card1", "is suspended"),
        ("sys/devices/gpu.0/load: 1001", "gpu/gpu.0", "per mille"),
        (
            "sys/class/devfreq/a.gpu/load: 28\nsys/class/devfreq/a.gpu/cur_freq: 0",
            "gpu/a.gpu",
            "28@300000000Hz",
        ),
        ("sys/class/devfreq/a.gpu/cur_freq: 0", "frequency/a.gpu", "its clock is stopped"),
        ("sys/class/devfreq/a.gpu/cur_freq: 390000", "frequency/a.gpu", "kHz"),
        ("sys/class/devfreq/a.npu/cur_freq: 0\nsys/class/devfreq/a.npu/load: 0@1Hz", "npu/a.npu", "at any load"),
    ],
)
def test_what_can_not_be_has_a_reason(write_tree: WriteTree, tree: str, name: str, reason: str) -> None:
    assert reason in why(write_tree(tree))[name]


def test_card_that_is_suspended_is_not_woken(write_tree: WriteTree) -> None:
    root = write_tree(
        f"""
        {CARD}/device/power/runtime_status: suspended
        {GT}/rps_act_freq_mhz: 700
        {GT}/rc6_residency_ms: 100
        {GT}/throttle_reason_status: 1
        """
    )
    for name in ("rps_act_freq_mhz", "rc6_residency_ms", "throttle_reason_status"):
        (root / GT / name).chmod(0)
    reasons = why(root)
    assert "is not woken" in reasons["frequency/card1/gt0"]
    assert "is not woken" in reasons["gpu/card1/gt0"]
    assert read(root)["throttle_reason/card1/gt0"] == "none"


def test_unit_whose_clock_stands_is_not_asked_what_holds_it_back(write_tree: WriteTree) -> None:
    root = write_tree(f"{GT}/rps_act_freq_mhz: 0\n{GT}/throttle_reason_status: maybe")
    assert read(root)["throttle_reason/card1/gt0"] == "none"
    (sensor,) = discover_throttling(root).sensors
    assert read_sensor(sensor).value == "no"
    write_tree(f"{GT}/rps_act_freq_mhz: 700")
    assert "maybe" in read_sensor(sensor).reason


def test_load_is_the_time_awake_and_the_time_at_work(write_tree: WriteTree) -> None:
    busy, idle = "sys/class/accel/accel0/device/npu_busy_time_us", f"{GT}/rc6_residency_ms"
    root = write_tree(f"{busy}: 1000000\n{idle}: 5000")
    clock = [10.0]
    shares = {
        str(root / busy): BusyShare(counts_idle=False, clock=lambda: clock[0]),
        str(root / idle): BusyShare(counts_idle=True, clock=lambda: clock[0]),
    }
    sensors = {sensor.name: sensor for sensor in discover(root, shares).sensors}
    assert "this was the first" in read_sensor(sensors["npu/accel0"]).reason
    assert read_sensor(sensors["gpu/card1/gt0"]).value is None
    clock[0] = 20.0
    write_tree(f"{busy}: 3500000\n{idle}: 9000")
    # Looking for devices anew must not forget the first look.
    sensors = {sensor.name: sensor for sensor in discover(root, shares).sensors}
    assert read_sensor(sensors["npu/accel0"]).value == pytest.approx(25.0)
    assert read_sensor(sensors["gpu/card1/gt0"]).value == pytest.approx(60.0)
    assert sensors["gpu/card1/gt0"].provenance is Provenance.ESTIMATED


def test_counter_that_runs_back_or_ahead_is_no_load() -> None:
    clock = [0.0]
    share = BusyShare(counts_idle=False, clock=lambda: clock[0])
    with pytest.raises(SensorError, match="this was the first"):
        share.percent(lambda: 50.0)
    for counted_s in (40.0, 60.0):
        clock[0] += 1.0
        with pytest.raises(SensorError, match="counter of time"):
            share.percent(lambda counted_s=counted_s: counted_s)
    clock[0] += 1.0
    assert share.percent(lambda: 61.0) == 100.0


def test_counter_that_never_rose_tells_nothing_and_later_an_idle_device() -> None:
    clock = [0.0]
    share = BusyShare(counts_idle=True, clock=lambda: clock[0])
    for counted_s, percent in ((7.0, None), (7.0, None), (8.0, 0.0), (8.0, 100.0)):
        clock[0] += 1.0
        if percent is None:
            with pytest.raises(SensorError, match=r"this was the first|not risen"):
                share.percent(lambda counted_s=counted_s: counted_s)
        else:
            assert share.percent(lambda counted_s=counted_s: counted_s) == percent


@pytest.mark.parametrize(
    ("reasons", "throttled", "named"),
    [
        ("status: 0\nthermal: 0", "no", "none"),
        ("status: 1\nthermal: 1\npl1: 1", "yes", "pl1+thermal"),
        ("status: 1\npl1: 1\npl2: 1\nthermal: 0", "no", "pl1+pl2"),
        ("status: 1\npl4: 1", "yes", "pl4"),
        ("status: 1", "yes", "unknown"),
    ],
)
@pytest.mark.parametrize("driver", ["i915", "xe"])
def test_throttle_reasons(write_tree: WriteTree, driver: str, reasons: str, throttled: str, named: str) -> None:
    base, before = {
        "i915": (f"{GT}/", "throttle_reason_"),
        "xe": (f"{CARD}/device/tile0/gt0/freq0/throttle/", "reason_"),
    }[driver]
    lines = [f"{base}{before}{line}" for line in reasons.splitlines()]
    root = write_tree("\n".join(lines).replace("/reason_status", "/status"))
    (sensor,) = discover_throttling(root).sensors
    assert read_sensor(sensor).value == throttled
    (unit,) = throttled_sources(root)[0]
    assert read(root) == {f"throttle_reason/{unit.name}": named}


def test_reason_that_can_not_be_read_is_no_denial(write_tree: WriteTree) -> None:
    root = write_tree(f"{GT}/throttle_reason_status: maybe")
    (sensor,) = discover_throttling(root).sensors
    assert "maybe" in read_sensor(sensor).reason
