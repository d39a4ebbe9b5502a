"""Raspberry Pi: under-voltage, throttling by the firmware, and the power chip of the Pi 5."""

import errno
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from tidegate_drivers.boards import pmic, vcio
from tidegate_drivers.boards.board import read_board
from tidegate_drivers.boards.latch import Latch
from tidegate_drivers.boards.throttled import HELD_BACK, Throttled
from tidegate_drivers.boards.throttled import UNDER_VOLTAGE as UNDER_VOLTAGE_BIT
from tidegate_drivers.linux.hwmon import chips
from tidegate_drivers.linux.sysfs import UnreadableError, entries, read_int, read_text
from tidegate_drivers.reading import POWER, THERMAL_PRESSURE, THROTTLED, Provenance, Unit, Value
from tidegate_drivers.sensor import Cost, Discovery, Sensor, SensorError, Unavailable

UNDER_VOLTAGE = "under_voltage"
SINCE_START = "since_start"
INPUT_VOLTAGE = "voltage/EXT5V"

_DRIVER = "raspberry_pi"
_SOURCE = f"{_DRIVER}/firmware"
_LIVE = Path("/")
_SLOW_INTERVAL_S = 10.0
_PLATFORM = "sys/devices/platform"
_GROUP = "sudo usermod -aG video $USER (then log in again; in a systemd unit: DeviceAllow=/dev/vcio rw)"

Ask = Callable[[str], str]
T = TypeVar("T")


def discover(sysroot: Path = _LIVE, ask: Ask | None = None, latch: Latch | None = None) -> Discovery:
    """`under_voltage`, `thermal_pressure`, `throttled`, on a Pi 5 `power` and `voltage/EXT5V`; elsewhere nothing.

    And whether it was ever so since the agent started, as `under_voltage/since_start` and `throttled/since_start`.
    `ask` puts a command to the firmware; None: through /dev/vcio, and not at all for a captured tree. `latch`
    outlasts one discovery.
    """
    latch = Latch() if latch is None else latch
    again = partial(discover, sysroot, ask, latch)
    board = read_board(sysroot)
    # Without a device tree (a container, a partial capture) the board's own chip tells.
    if not (board.is_any("raspberrypi,", "brcm,bcm27", "brcm,bcm28") if board else _has_chip(sysroot)):
        return Discovery(_DRIVER, again=again)
    if ask is None and sysroot == _LIVE:
        ask = vcio.ask
    throttled = _throttled(sysroot, ask, latch)
    by_hwmon, by_firmware = _by_hwmon(sysroot, latch), _by_firmware(throttled, ask)
    known = {offer.name for offer in by_firmware if isinstance(offer, Sensor)}
    # The kernel's driver sees every dip since its last look, the firmware's word only the present.
    if isinstance(by_hwmon, Sensor):
        by_firmware = [offer for offer in by_firmware if offer.name != UNDER_VOLTAGE]
    offers = (
        by_firmware if isinstance(by_hwmon, Unavailable) and UNDER_VOLTAGE in known else [by_hwmon, *by_firmware]
    )
    offers += _since_start(latch, by_hwmon, throttled if UNDER_VOLTAGE in known else None)
    sensors = tuple(offer for offer in offers if isinstance(offer, Sensor))
    unavailable = tuple(offer for offer in offers if isinstance(offer, Unavailable))
    return Discovery(_DRIVER, sensors, unavailable, again)


def _has_chip(sysroot: Path) -> bool:
    try:
        return any(chip.name == "rpi_volt" for chip in chips(sysroot)[0])
    except SensorError:
        return False


def _since_start(
    latch: Latch, by_hwmon: Sensor | Unavailable, throttled: Callable[[], Throttled] | None
) -> list[Sensor]:
    """Whether it was ever so, by all that tells it here: the kernel's alarm, the firmware's word."""
    words: list[Callable[[], object]] = [] if throttled is None else [throttled]
    alarms: list[Callable[[], object]] = [by_hwmon.read] if isinstance(by_hwmon, Sensor) else []
    source = by_hwmon.source if alarms else _SOURCE
    wanted = ((THROTTLED, _SOURCE, HELD_BACK, words), (UNDER_VOLTAGE, source, UNDER_VOLTAGE_BIT, alarms + words))
    return [
        Sensor(
            f"{name}/{SINCE_START}",
            Unit.NAME,
            Provenance.MEASURED,
            told_by,
            partial(_ever, latch, bits, looks),
            _SLOW_INTERVAL_S,
            Cost.DEVICE,
        )
        for name, told_by, bits, looks in wanted
        if looks
    ]


def _ever(latch: Latch, bits: int, looks: Sequence[Callable[[], object]]) -> str:
    """Whether the latch holds one of the bits after looking once more. Raises SensorError."""
    faults: list[SensorError] = []
    for look in looks:
        try:
            look()
        except SensorError as error:
            faults.append(error)
    if faults and not latch.holds(bits):
        raise faults[0]
    return _yes(latch.holds(bits))


def _by_hwmon(sysroot: Path, latch: Latch) -> Sensor | Unavailable:
    source = "hwmon/rpi_volt"
    try:
        registered, faults = chips(sysroot)
    except SensorError as error:
        return Unavailable(UNDER_VOLTAGE, source, str(error), error.grant)
    found = [chip for chip in registered if chip.name == "rpi_volt"]
    if not found:
        reason = "; ".join(map(str, faults)) or "the driver raspberrypi-hwmon is not loaded"
        return Unavailable(UNDER_VOLTAGE, source, reason)
    read = partial(_alarm, found[0].path / "in0_lcrit_alarm", latch)
    return Sensor(UNDER_VOLTAGE, Unit.NAME, Provenance.MEASURED, source, read)


def _alarm(path: Path, latch: Latch) -> str:
    alarm = read_int(path, 0, 1, "(0 fine, 1 under-voltage)") == 1
    if alarm:
        latch.add(UNDER_VOLTAGE_BIT)
    return _yes(alarm)


def _throttled(sysroot: Path, ask: Ask | None, latch: Latch) -> Callable[[], Throttled] | None:
    """How to read the throttled word, which the latch sees each time; None where nothing tells it."""
    read = _throttled_by_file(sysroot)
    if read is None and ask is not None:
        read = partial(_throttled_by_asking, ask)
    return None if read is None else lambda: latch.see(read())


def _by_firmware(throttled: Callable[[], Throttled] | None, ask: Ask | None) -> list[Sensor | Unavailable]:
    if throttled is None:
        reason = "only the running firmware knows, and this is a captured tree"
        return [Unavailable(name, _SOURCE, reason) for name in (THERMAL_PRESSURE, THROTTLED, POWER)]
    offers = [_offer(THERMAL_PRESSURE, Unit.NAME, Provenance.ESTIMATED, lambda: throttled().pressure)]
    offers.append(_offer(THROTTLED, Unit.NAME, Provenance.MEASURED, lambda: _yes(throttled().slowed)))
    offers.append(_offer(UNDER_VOLTAGE, Unit.NAME, Provenance.MEASURED, lambda: _yes(throttled().under_voltage)))
    if ask is not None:
        offers.append(_offer(POWER, Unit.WATT, Provenance.MEASURED_PARTIAL, partial(_power_w, ask)))
        offers.append(_offer(INPUT_VOLTAGE, Unit.VOLT, Provenance.MEASURED, partial(_input_v, ask)))
    return offers


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _offer(name: str, unit: Unit, provenance: Provenance, read: Callable[[], Value]) -> Sensor | Unavailable:
    try:
        read()
    except SensorError as error:
        return Unavailable(name, _SOURCE, str(error), error.grant)
    return Sensor(name, unit, provenance, _SOURCE, read, cost=Cost.DEVICE)


def _throttled_by_file(sysroot: Path) -> Callable[[], Throttled] | None:
    for path in _firmware_files(sysroot / _PLATFORM):
        read = partial(_throttled_of_file, path)
        try:
            read()
        except UnreadableError as error:
            if error.gone:
                continue
        except SensorError:
            pass
        return read
    return None


def _firmware_files(platform: Path) -> list[Path]:
    # The bus is called otherwise by each board and kernel: soc, soc@107c000000, axi.
    try:
        buses = [path for path in entries(platform) if path.name.startswith(("soc", "axi"))]
    except SensorError:
        return []
    return [bus / f"{bus.name}:firmware" / "get_throttled" for bus in buses]


def _throttled_of_file(path: Path) -> Throttled:
    try:
        return Throttled.parse(read_text(path))
    except ValueError as error:
        raise SensorError(f"{path}: {error}") from error


def _throttled_by_asking(ask: Ask) -> Throttled:
    try:
        return Throttled.parse(_answer(ask, "get_throttled"))
    except ValueError as error:
        raise SensorError(f"the firmware's answer is {error}") from error


def _power_w(ask: Ask) -> float:
    # What is fed straight from the 5 V input (USB, HATs, fans) is on none of these rails.
    rails = _rails(ask, pmic.rails_w)
    watts = sum(rails.values())
    if watts <= 0:
        raise SensorError("the power chip reports 0 W, and yet this board runs")
    return watts


def _input_v(ask: Ask) -> float:
    volts, _ = _rails(ask, pmic.parse)
    if pmic.INPUT not in volts:
        raise SensorError(f"the power chip names no {pmic.INPUT}")
    return volts[pmic.INPUT]


def _rails(ask: Ask, parse: Callable[[str], T]) -> T:
    try:
        return parse(_answer(ask, "pmic_read_adc"))
    except ValueError as error:
        raise SensorError(f"the power chip's answer: {error}") from error


def _answer(ask: Ask, command: str) -> str:
    try:
        return ask(command)
    except OSError as error:
        failure = SensorError(f"{command}: {error}")
        if error.errno in (errno.EACCES, errno.EPERM):
            failure.grant = _GROUP
        if error.errno == errno.ENOENT:
            failure = SensorError(f"{vcio.DEVICE} is not there (systemd's PrivateDevices hides it)")
        raise failure from error
