"""Discrete NVIDIA GPUs through NVML (nvidia-ml-py, the extra `nvidia`); a Jetson has no NVML.

Whether a GPU is throttled is its own reading: `throttled` is about the chip that answers.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from tidegate_drivers.reading import ENERGY_COUNTER, THROTTLED, Provenance, Unit, Value
from tidegate_drivers.sensor import Cost, Discovery, Sensor, SensorError, Unavailable

GPU = "gpu"

_DRIVER = "nvidia"
_INTERVAL_S = 5.0
# An H100 takes 3.5 ms to tell its counter, and 5 us to tell anything else (docs/drivers.md). Every 5 s that would
# be 0.07 % of a core, a third of what all drivers of a board cost; a counter loses nothing when it is read seldom.
_COUNTER_INTERVAL_S = 30.0
_PLAUSIBLE_C = (-40.0, 150.0)
_MOST_W = 5000.0
_MOST_MHZ = 20_000
# nvml.h, nvmlClocksEventReasons; GPUs that idle or keep to clocks that somebody set are not held back.
_REASONS = {
    0x1: "idle",
    0x2: "application clocks",
    0x4: "power cap",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "software thermal",
    0x40: "hardware thermal",
    0x80: "power brake",
    0x100: "display clock",
}
_HELD_BACK = 0x8 | 0x20 | 0x40 | 0x80


def discover(load: Callable[[], Any] | None = None) -> Discovery:
    """`power|temperature|gpu|frequency|energy_counter|throttled|throttle_reason/<gpu>` of each GPU.

    `load` gives the module pynvml. Nothing is refused where the extra is not installed: few devices need it.
    """
    again = partial(discover, load)
    try:
        nvml = load() if load is not None else import_module("pynvml")
    except ImportError:
        return Discovery(_DRIVER)
    try:
        nvml.nvmlInit()
        found = [_Gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError as error:
        return Discovery(_DRIVER, unavailable=(Unavailable(GPU, _DRIVER, f"NVML: {error}"),), again=again)
    sensors = [sensor for gpu in found for sensor in gpu.sensors()]
    return Discovery(_DRIVER, tuple(sensors), again=again)


class _Gpu:
    def __init__(self, nvml: Any, index: int) -> None:
        self._nvml = nvml
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)
        name = nvml.nvmlDeviceGetName(self._handle)
        text = name.decode() if isinstance(name, bytes) else str(name)
        self.key = f"{index} {text}".replace("/", "_")

    def sensors(self) -> list[Sensor]:
        offers: tuple[tuple[str, Unit, Callable[[], Value]], ...] = (
            ("power", Unit.WATT, self._power_w),
            ("temperature", Unit.CELSIUS, self._celsius),
            (GPU, Unit.PERCENT, self._busy_percent),
            ("frequency", Unit.HERTZ, self._clock_hz),
            (ENERGY_COUNTER, Unit.JOULE, self._energy_j),
            (THROTTLED, Unit.NAME, self._throttled),
            ("throttle_reason", Unit.NAME, self._throttle_reason),
        )
        return [self._sensor(name, unit, read) for name, unit, read in offers]

    def _sensor(self, name: str, unit: Unit, read: Callable[[], Value]) -> Sensor:
        counts = name == ENERGY_COUNTER
        return Sensor(
            f"{name}/{self.key}",
            unit,
            Provenance.MEASURED,
            f"{_DRIVER}/{self.key}",
            partial(self._ask, read),
            _COUNTER_INTERVAL_S if counts else _INTERVAL_S,
            Cost.DEVICE if counts else Cost.KERNEL,
        )

    def _ask(self, read: Callable[[], Value]) -> Value:
        try:
            return read()
        except self._nvml.NVMLError as error:
            raise SensorError(f"NVML: {error}") from error

    def _power_w(self) -> float:
        watts = float(self._nvml.nvmlDeviceGetPowerUsage(self._handle)) / 1000
        if not 0 < watts <= _MOST_W:
            raise SensorError(f"NVML says {watts:g} W")
        return watts

    def _celsius(self) -> float:
        celsius = float(self._nvml.nvmlDeviceGetTemperature(self._handle, self._nvml.NVML_TEMPERATURE_GPU))
        if not _PLAUSIBLE_C[0] <= celsius <= _PLAUSIBLE_C[1]:
            raise SensorError(f"NVML says {celsius:g} C")
        return celsius

    def _busy_percent(self) -> float:
        percent = float(self._nvml.nvmlDeviceGetUtilizationRates(self._handle).gpu)
        if not 0 <= percent <= 100:
            raise SensorError(f"NVML says {percent:g} %")
        return percent

    def _clock_hz(self) -> float:
        megahertz = float(self._nvml.nvmlDeviceGetClockInfo(self._handle, self._nvml.NVML_CLOCK_SM))
        if not 0 < megahertz <= _MOST_MHZ:
            raise SensorError(f"NVML says {megahertz:g} MHz")
        return megahertz * 1e6

    def _energy_j(self) -> float:
        joules = float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000
        if joules <= 0:
            raise SensorError(f"NVML says {joules:g} J since the driver was loaded: it counts nothing")
        return joules

    def _throttled(self) -> str:
        return "yes" if self._reasons() & _HELD_BACK else "no"

    def _throttle_reason(self) -> str:
        reasons = self._reasons()
        named = [name for bit, name in _REASONS.items() if reasons & bit]
        unknown = reasons & ~sum(_REASONS)
        return "+".join(named + ([f"{unknown:#x}"] if unknown else [])) or "none"

    def _reasons(self) -> int:
        nvml = self._nvml
        try:
            return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(self._handle))
        except (AttributeError, nvml.NVMLError):  # bindings or a driver before 535
            return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(self._handle))
