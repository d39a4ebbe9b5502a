"""Energy counters of processors in /sys/class/powercap (kernel: Documentation/power/powercap/powercap.rst).

`energy_uj` is for root since CVE-2020-8694. Names follow the kernel: AMD's counters are `intel-rapl` as well.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tidegate_drivers.linux.rapl_meter import Books, Meter, PlatformMeter
from tidegate_drivers.linux.rapl_zones import PSYS, Domain, domains, packages_of, total_of, without_psys
from tidegate_drivers.reading import ENERGY, ENERGY_COUNTER, POWER, Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable

"""A counter as it stands; it wraps."""

_DRIVER = "rapl"
_INTERVAL_S = 2.0
# Runs whenever a zone appears, so that it outlasts a reboot; zones within a package have events of their own.
_UDEV_RULE = (
    'echo \'SUBSYSTEM=="powercap", ACTION=="add", RUN+="/bin/chmod a+r /sys%p/energy_uj"\''
    " | sudo tee /etc/udev/rules.d/70-tidegate-rapl.rules && sudo udevadm trigger -c add -s powercap"
)


def discover(sysroot: Path = Path("/"), books: Books | None = None) -> Discovery:
    """`power` and `energy` of the processors, and those of each domain; `books` outlasts one discovery."""
    books = Books() if books is None else books
    again = partial(discover, sysroot, books)
    try:
        found, nameless = domains(sysroot)
    except SensorError as error:
        return Discovery(_DRIVER, unavailable=_refused(str(error), error.grant), again=again)
    if not found and not nameless:
        reason = "no energy counters are registered (another processor, a virtual machine, or no driver loaded)"
        return Discovery(_DRIVER, unavailable=_refused(reason), again=again)
    readable: list[Domain] = []
    unavailable = [Unavailable(f"{POWER}/unnamed", _DRIVER, reason) for reason in nameless]
    for domain in found:
        try:
            domain.read_j()
            readable.append(domain)
        except SensorError as error:
            grant = _UDEV_RULE if error.grant else ""
            unavailable.append(
                Unavailable(f"{POWER}/{domain.name}", f"{_DRIVER}/{domain.name}", str(error), grant)
            )
    sensors: list[Sensor] = []
    if books.psys_is_wrong:
        reason = "counts less than the packages that it should include: this firmware's counter is unusable"
        unavailable.append(Unavailable(f"{POWER}/{PSYS}", f"{_DRIVER}/{PSYS}", reason))
        found, readable = without_psys(found), without_psys(readable)
    total = total_of(found)
    unread = [
        missing for missing in unavailable if missing.name.endswith((*(each.name for each in total), "unnamed"))
    ]
    if total and not unread:
        sensors += _of_total(total, packages_of(readable), books)
    else:
        reason = unread[0].reason if unread else "no counter of a package or of the platform is among them"
        unavailable += _refused(reason, unread[0].grant if unread else "")
    for domain in readable:
        sensors += _of_domain(domain, books.meter("single", [domain]))
    return Discovery(_DRIVER, tuple(sensors), tuple(unavailable), again)


def _of_total(total: Sequence[Domain], packages: Sequence[Domain], books: Books) -> list[Sensor]:
    source = f"{_DRIVER}/{'+'.join(domain.name for domain in total)}"
    meter: Meter | PlatformMeter = books.meter("total", total)
    if packages and total[0].is_platform:
        meter = PlatformMeter(books.meter("total", total), books.meter("total", packages), books)
    # Processors alone, or what the vendor calls the platform: never surely the whole machine.
    partly = Provenance.MEASURED_PARTIAL
    return [
        Sensor(POWER, Unit.WATT, partly, source, meter.power_w, _INTERVAL_S),
        Sensor(ENERGY, Unit.JOULE, partly, source, meter.energy_j, _INTERVAL_S),
    ]


def _of_domain(domain: Domain, meter: Meter) -> list[Sensor]:
    source = f"{_DRIVER}/{domain.name}"
    measured = Provenance.MEASURED
    return [
        Sensor(f"{POWER}/{domain.name}", Unit.WATT, measured, source, meter.power_w, _INTERVAL_S),
        Sensor(f"{ENERGY_COUNTER}/{domain.name}", Unit.JOULE, measured, source, domain.read_j, _INTERVAL_S),
    ]


def _refused(reason: str, grant: str = "") -> tuple[Unavailable, ...]:
    return tuple(Unavailable(name, _DRIVER, reason, grant) for name in (POWER, ENERGY))
