"""NVML's calls against a stand-in with its names and units, and with what a real GPU said."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tidegate_drivers.nvidia import discover
from tidegate_drivers.read_sensor import read_sensor
from tidegate_drivers.sensor import Cost

H100 = Path(__file__).parents[2] / "docs/hardware/nvidia-h100.json"
GPU_NAME = "0 NVIDIA H100 80GB HBM3"


class NVMLError(Exception):
    pass


def nvml(**changes: Any) -> Any:
    def fail(*_: object) -> None:
        raise NVMLError("Not Supported")

    calls: dict[str, Any] = {
        "NVMLError": NVMLError,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda _gpu: b"NVIDIA RTX A2000",
        "nvmlDeviceGetPowerUsage": lambda _gpu: 35_500,
        "nvmlDeviceGetTemperature": lambda _gpu, _sensor: 51,
        "nvmlDeviceGetUtilizationRates": lambda _gpu: SimpleNamespace(gpu=17, memory=3),
        "nvmlDeviceGetTotalEnergyConsumption": lambda _gpu: 12_500,
        "NVML_CLOCK_SM": 1,
        "nvmlDeviceGetClockInfo": lambda _gpu, _clock: 1410,
        "nvmlDeviceGetCurrentClocksEventReasons": lambda _gpu: 0x4,
    }
    return SimpleNamespace(**calls | {name: fail if value is None else value for name, value in changes.items()})


def test_units() -> None:
    values = {sensor.name: read_sensor(sensor).value for sensor in discover(nvml).sensors}
    assert values == {
        "power/0 NVIDIA RTX A2000": 35.5,
        "temperature/0 NVIDIA RTX A2000": 51.0,
        "gpu/0 NVIDIA RTX A2000": 17.0,
        "frequency/0 NVIDIA RTX A2000": 1.41e9,
        "energy_counter/0 NVIDIA RTX A2000": 12.5,
        "throttled/0 NVIDIA RTX A2000": "no",
        "throttle_reason/0 NVIDIA RTX A2000": "power cap",
    }


@pytest.mark.parametrize(("state", "reasons"), [("idle", 0x1), ("busy", 0)])
def test_real_gpu_is_read_as_its_report_says(state: str, reasons: int) -> None:
    report = json.loads(H100.read_text())
    said = report[state]
    stand_in = nvml(
        nvmlDeviceGetName=lambda _gpu: report["gpu"].removeprefix("0 "),
        nvmlDeviceGetPowerUsage=lambda _gpu: round(said["power"] * 1000),
        nvmlDeviceGetTemperature=lambda _gpu, _sensor: int(said["temperature"]),
        nvmlDeviceGetUtilizationRates=lambda _gpu: SimpleNamespace(gpu=int(said["gpu"])),
        nvmlDeviceGetClockInfo=lambda _gpu, _clock: int(said["frequency"] / 1e6),
        nvmlDeviceGetTotalEnergyConsumption=lambda _gpu: round(said["energy_counter"] * 1000),
        nvmlDeviceGetCurrentClocksEventReasons=lambda _gpu: reasons,
    )
    found = discover(lambda: stand_in)
    assert {sensor.name: read_sensor(sensor).value for sensor in found.sensors} == {
        f"{name}/{report['gpu']}": value for name, value in said.items() if name != "at"
    }


def test_counter_that_takes_milliseconds_comes_last_and_seldom() -> None:
    dear = [sensor for sensor in discover(nvml).sensors if sensor.cost > Cost.KERNEL]
    assert [sensor.name.partition("/")[0] for sensor in dear] == ["energy_counter"]
    took_ms = json.loads(H100.read_text())["read_ms"]["nvidia"]
    assert [name.partition("/")[0] for name, ms in took_ms.items() if ms > 0.1] == ["energy_counter"]
    assert all(took_ms[f"energy_counter/{GPU_NAME}"] / 1000 / sensor.interval_s < 2e-4 for sensor in dear)


@pytest.mark.parametrize(
    ("mask", "throttled", "reason"),
    [
        (0, "no", "none"),
        (0x1, "no", "idle"),
        (0x4 | 0x20, "yes", "power cap+software thermal"),
        (0x8 | 0x40, "yes", "hardware slowdown+hardware thermal"),
        (0x80, "yes", "power brake"),
        (0x1000, "no", "0x1000"),
    ],
)
@pytest.mark.parametrize(
    "named", ["nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"]
)
def test_throttle_reasons_by_their_new_and_their_old_name(
    mask: int, throttled: str, reason: str, named: str
) -> None:
    stand_in = nvml()
    del stand_in.nvmlDeviceGetCurrentClocksEventReasons
    setattr(stand_in, named, lambda _gpu: mask)
    readings = {
        sensor.name.split("/")[0]: read_sensor(sensor).value for sensor in discover(lambda: stand_in).sensors
    }
    assert (readings["throttled"], readings["throttle_reason"]) == (throttled, reason)


def test_bindings_have_the_names_that_are_asked() -> None:
    """The stand-in could know names that NVIDIA's module does not."""
    module = pytest.importorskip("pynvml", reason="NOT RUN: pip install 'tidegate[nvidia]'")
    missing = [name for name in vars(nvml()) if not hasattr(module, name)]
    assert missing == []


@pytest.mark.parametrize("power", [None, lambda _gpu: 0, lambda _gpu: 2**32])
def test_what_a_gpu_can_not_tell_is_unavailable(power: Any) -> None:
    found = discover(lambda: nvml(nvmlDeviceGetPowerUsage=power))
    readings = {sensor.name.split("/")[0]: read_sensor(sensor) for sensor in found.sensors}
    assert readings["power"].value is None
    assert "NVML" in readings["power"].reason
    assert readings["temperature"].value == 51.0


def test_driver_that_is_not_loaded_is_refused() -> None:
    (missing,) = discover(lambda: nvml(nvmlInit=None)).unavailable
    assert "Not Supported" in missing.reason


def test_without_the_extra_there_is_nothing() -> None:
    def missing() -> Any:
        raise ImportError

    assert discover(missing).sensors == discover(missing).unavailable == ()
