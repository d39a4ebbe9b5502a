"""CPU utilisation of all cores together from /proc/stat (man 5 proc_stat)."""

from functools import partial
from pathlib import Path

from tidegate_drivers.cpu_time import CpuTime
from tidegate_drivers.linux.sysfs import ImplausibleError, parse_int, read_text
from tidegate_drivers.reading import CPU, Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable

_DRIVER = "cpu"
# A mean over this time: sooner it would be told of other peaks, and an idle device be woken for it.
_INTERVAL_S = 5.0
_SOURCE = "stat"
_MOST_TICKS = 1 << 63
# user nice system idle iowait irq softirq steal; guest and guest_nice follow and are in user and nice already.
_FIELDS = 8
_IDLE, _IOWAIT = 3, 4


def discover(sysroot: Path = Path("/"), cpu_time: CpuTime | None = None) -> Discovery:
    """The machine's CPU utilisation, or why not; `cpu_time` outlasts one discovery."""
    cpu_time = CpuTime() if cpu_time is None else cpu_time
    again = partial(discover, sysroot, cpu_time)
    stat = sysroot / "proc/stat"
    try:
        read_idle_and_total(stat)
    except SensorError as error:
        return Discovery(_DRIVER, unavailable=(Unavailable(CPU, _SOURCE, str(error), error.grant),), again=again)
    read = partial(read_percent, stat, cpu_time)
    sensor = Sensor(CPU, Unit.PERCENT, Provenance.MEASURED, _SOURCE, read, _INTERVAL_S)
    return Discovery(_DRIVER, (sensor,), again=again)


def read_percent(stat: Path, cpu_time: CpuTime) -> float:
    """Utilisation since `cpu_time` was last told, in %. Raises SensorError, always on the first call."""
    return cpu_time.percent_since_last(*read_idle_and_total(stat))


def read_idle_and_total(stat: Path) -> tuple[float, float]:
    """Cumulated idle and total ticks of all cores. Raises SensorError."""
    words = read_text(stat).partition("\n")[0].split()
    if len(words) < 1 + _IOWAIT or words[0] != "cpu":
        raise ImplausibleError(f"{stat} begins with {' '.join(words)[:40]!r}, not with the line of all cores")
    ticks = [parse_int(word, 0, _MOST_TICKS, "ticks", str(stat)) for word in words[1 : 1 + _FIELDS]]
    # Waiting for a disk is idle to the core. Stolen time counts as busy: it is not there to be used.
    return float(sum(ticks[_IDLE : _IOWAIT + 1])), float(sum(ticks))
