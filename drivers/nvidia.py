"""Discrete NVIDIA GPUs through NVML (nvidia-ml-py, the extra `nvidia`); a Jetson has no NVML."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from drivers.reading import Provenance, Unit
from drivers.sensor import Discovery, Refusal, Sensor, SensorError

GPU = "gpu"

_DRIVER = "nvidia"
_INTERVAL_S = 5.0
_PLAUSIBLE_C = (-40.0, 150.0)
_MOST_W = 5000.0


def discover(load: Callable[[], Any] | None = None) -> Discovery:
    """`power/<gpu>`, `temperature/<gpu>`, `gpu/<gpu>` (utilisation) and `energy_counter/<gpu>` of each GPU.

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
        return Discovery(_DRIVER, refusals=(Refusal(GPU, _DRIVER, f"NVML: {error}"),), again=again)
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
        offers: tuple[tuple[str, Unit, Callable[[], float]], ...] = (
            ("power", Unit.WATT, self._power_w),
            ("temperature", Unit.CELSIUS, self._celsius),
            (GPU, Unit.PERCENT, self._busy_percent),
            ("energy_counter", Unit.JOULE, self._energy_j),
        )
        source = f"{_DRIVER}/{self.key}"
        return [
            Sensor(f"{name}/{self.key}", unit, Provenance.MEASURED, source, partial(self._ask, read), _INTERVAL_S)
            for name, unit, read in offers
        ]

    def _ask(self, read: Callable[[], float]) -> float:
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

    def _energy_j(self) -> float:
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1000
