"""What psutil tells alike everywhere: memory and CPU, where no driver of the platform's own tells them.

psutil's sensor calls (battery, temperatures) are left alone: they fail or mislead (psutil#2477).
"""

from tidegate_drivers.cpu_time import CpuTime
from tidegate_drivers.reading import (
    CPU,
    MEMORY_AVAILABLE,
    Provenance,
    Unit,
)
from tidegate_drivers.sensor import Discovery, Sensor

_DRIVER = "host"
_SOURCE = "psutil"


def discover() -> Discovery:
    """`memory_available` in B and `cpu` in %, both through psutil."""
    cpu_time = CpuTime()
    sensors = (
        Sensor(MEMORY_AVAILABLE, Unit.BYTE, Provenance.MEASURED, _SOURCE, read_available_bytes),
        Sensor(CPU, Unit.PERCENT, Provenance.MEASURED, _SOURCE, lambda: read_percent(cpu_time)),
    )
    return Discovery(_DRIVER, sensors)


def read_available_bytes() -> float:
    """Memory that can be had without swapping, in bytes."""
    import psutil  # noqa: PLC0415 - Linux has drivers of its own and goes without

    return float(psutil.virtual_memory().available)


def read_percent(cpu_time: CpuTime) -> float:
    """Utilisation of all cores since `cpu_time` was last told, in %. Raises SensorError, always at first."""
    import psutil  # noqa: PLC0415

    # Not psutil.cpu_percent(): its first call in each thread answers 0.0, which is no measurement.
    times = psutil.cpu_times()
    return cpu_time.percent_since_last(times.idle, times.user + times.nice + times.system + times.idle)
