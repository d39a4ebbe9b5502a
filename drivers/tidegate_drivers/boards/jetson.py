"""NVIDIA Jetson: the power meters of its rails, and its over-current counters (JetPack 4 to 7).

JetPack 4 has them under the I2C driver `ina3221x`, later releases in hwmon (`ina3221`; Thor adds `ina238`).
Source: NVIDIA Jetson Linux Developer Guide, "Power and Performance", and the kernel's hwmon/ina3221.rst.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tidegate_drivers.boards.board import read_board
from tidegate_drivers.linux.hwmon import Chip, chips, chips_of, label_of
from tidegate_drivers.linux.sysfs import UnreadableError, entries, read_int, read_word
from tidegate_drivers.reading import POWER, Provenance, Unit
from tidegate_drivers.sensor import Cost, Discovery, Sensor, SensorError, Unavailable

_DRIVER = "jetson"
_INTERVAL_S = 2.0
_SLOW_INTERVAL_S = 10.0
_MILLIVOLTS = (0, 100_000, "mV")
# A rail that idles can read a few mA below 0: the shunt amplifier's offset.
_MILLIAMPERES = (-100, 100_000, "mA")
_MILLIWATTS = (0, 1_000_000, "mW")
_MICROWATTS = (0, 1_000_000_000, "uW")
# What feeds the whole module or board; all other rails are parts of it.
_INPUTS = ("VDD_IN", "POM_5V_IN", "VIN", "VDD_MUX")
# Where no input is metered, the sum is over the rails that hang on the inputs themselves, each once. An AGX Orin
# is fed with SYS_VIN_HV (20 V), which carries VDD_GPU_SOC and VDD_CPU_CV, and with SYS_VIN_MV (5 V): VIN_SYS_5V0
# meters that, and the memory's branch of it, which reads the same 5 V, is metered again behind it
# (arch/arm64/boot/dts/nvidia/tegra234-p3701.dtsi). An AGX Xavier's six rails hang on its inputs each for itself,
# the memory's on SYS_VIN_HV too (NVIDIA DG-09840-001, 5.6.2 "Power Monitor").
_BRANCH_OF = {"VDDQ_VDD2_1V8AO": "VIN_SYS_5V0"}
_NVIDIA_NAMES = (*_INPUTS, "VDD", "POM_", "VIN_", "GPU", "CPU", "SOC", "CV", "SYS5V")
_MOST_EVENTS = 1 << 63
# in4 to in6 are voltages over the shunts and in7 is their sum.
_CHANNELS = (1, 2, 3)
_OC_COUNT = re.compile(r"oc[0-9]_event_cnt")
_IIO_RAIL = re.compile(r"rail_name_([0-9])")


@dataclass(frozen=True, slots=True)
class Rail:
    """One metered rail."""

    name: str
    read_w: Callable[[], float]


def discover(sysroot: Path = Path("/")) -> Discovery:
    """`power` of the board, `power/<rail>`, `throttle_count/<oc>`; nothing on other boards."""
    again = partial(discover, sysroot)
    board = read_board(sysroot)
    if board is not None and not board.is_any("nvidia,tegra", "nvidia,p3", "nvidia,jetson"):
        return Discovery(_DRIVER, again=again)
    try:
        # Later releases first: an empty ina3221x directory can be left beside them.
        rails = _hwmon_rails(sysroot) or _iio_rails(sysroot)
    except SensorError as error:
        rails, fault = [], error
    else:
        fault = SensorError("no INA3221 or INA238 power meter is registered; this carrier board may have none")
    # Without a device tree (a container, a partial capture) only NVIDIA's names of rails tell.
    if board is None and not any(rail.name.startswith(_NVIDIA_NAMES) for rail in rails):
        return Discovery(_DRIVER, again=again)
    sensors = [
        Sensor(
            f"throttle_count/{path.name.removesuffix('_event_cnt')}",
            Unit.COUNT,
            Provenance.MEASURED,
            f"{_DRIVER}/soctherm_oc",
            partial(count, path),
            _SLOW_INTERVAL_S,
        )
        for path in over_current_counts(sysroot)[0]
    ]
    if not rails:
        missing = Unavailable(POWER, _DRIVER, str(fault), fault.grant)
        return Discovery(_DRIVER, tuple(sensors), (missing,), again)
    inputs = sorted((rail for rail in rails if rail.name in _INPUTS), key=lambda rail: _INPUTS.index(rail.name))
    total = inputs[:1] or without_branches(rails)
    # Without an input rail the sum leaves out what is fed straight from the connector.
    provenance = Provenance.MEASURED if inputs else Provenance.MEASURED_PARTIAL
    source = f"{_DRIVER}/{'+'.join(rail.name for rail in total)}"
    sensors.insert(
        0, Sensor(POWER, Unit.WATT, provenance, source, partial(total_w, total), _INTERVAL_S, Cost.DEVICE)
    )
    for rail in rails:
        name, source = f"{POWER}/{rail.name}", f"{_DRIVER}/{rail.name}"
        sensors.append(
            Sensor(name, Unit.WATT, Provenance.MEASURED, source, rail.read_w, _SLOW_INTERVAL_S, Cost.DEVICE)
        )
    return Discovery(_DRIVER, tuple(sensors), again=again)


def without_branches(rails: Sequence[Rail]) -> list[Rail]:
    """The rails none of which is metered again as a part of another of them."""
    metered = {rail.name for rail in rails}
    return [rail for rail in rails if _BRANCH_OF.get(rail.name) not in metered]


def total_w(rails: Sequence[Rail]) -> float:
    """The sum of the rails in W. Raises SensorError when one is missing: the sum of the others would be wrong."""
    watts = sum(rail.read_w() for rail in rails)
    if watts <= 0:
        raise SensorError(f"the rails report {watts:g} W, and yet this board runs")
    return watts


def _hwmon_rails(sysroot: Path) -> list[Rail]:
    rails: list[Rail] = []
    try:
        found, faults = chips(sysroot)
    except UnreadableError as error:
        if not error.gone:
            raise
        # A capture of the I2C bus alone has the same chips below their drivers.
        found, faults = chips_of(
            path
            for driver in ("ina3221", "ina238", "ina2xx")
            for device in _list(sysroot / "sys/bus/i2c/drivers" / driver)
            for path in _list(device / "hwmon")
        )
    for chip in found:
        if chip.name == "ina3221":
            rails += [rail for number in _CHANNELS if (rail := _ina3221_rail(chip, number)) is not None]
        elif chip.name in ("ina238", "ina2xx"):
            rails.append(Rail(_ina238_name(chip), partial(_microwatts, chip.path / "power1_input")))
    if faults and not any(rail.name in _INPUTS for rail in rails):
        raise faults[0]  # it may be one of the meters that a sum needs
    return rails


def _ina3221_rail(chip: Chip, number: int) -> Rail | None:
    label = label_of(chip, f"in{number}")
    # A channel without a label, or labelled NC, is wired to nothing.
    if label == f"in{number}" or "NC" in label.split():
        return None
    voltage, current = chip.path / f"in{number}_input", chip.path / f"curr{number}_input"
    return Rail(label, partial(_product_w, voltage, current))


def _ina238_name(chip: Chip) -> str:
    for prefix in ("power1", "in1", "in0"):
        label = label_of(chip, prefix)
        if label != prefix:
            return label
    return "VIN"


def _iio_rails(sysroot: Path) -> list[Rail]:
    rails: list[Rail] = []
    for driver in ("ina3221x", "ina3221"):
        for chip in _list(sysroot / "sys/bus/i2c/drivers" / driver):
            for device in _list(chip):
                if device.name.startswith("iio"):
                    rails += _iio_device_rails(device)
    return rails


def _iio_device_rails(device: Path) -> list[Rail]:
    rails: list[Rail] = []
    for path in _list(device):
        match = _IIO_RAIL.fullmatch(path.name)
        if match is None:
            continue
        name = read_word(path)
        if name and "NC" not in name.split():
            rails.append(Rail(name, partial(_iio_w, device, match[1])))
    return rails


def _iio_w(device: Path, number: str) -> float:
    power = device / f"in_power{number}_input"
    try:
        return read_int(power, *_MILLIWATTS) / 1e3
    except UnreadableError as error:
        if not error.gone:
            raise
    return _product_w(device / f"in_voltage{number}_input", device / f"in_current{number}_input")


def _product_w(voltage: Path, current: Path) -> float:
    return read_int(voltage, *_MILLIVOLTS) * read_int(current, *_MILLIAMPERES) / 1e6


def _microwatts(path: Path) -> float:
    return read_int(path, *_MICROWATTS) / 1e6


def over_current_counts(sysroot: Path) -> tuple[list[Path], list[SensorError]]:
    """The files that count over-current alarms since boot, at each of which the chip slows down.

    Also says why others can't be told.
    """
    try:
        found, faults = chips(sysroot)
        alarms = [chip for chip in found if chip.name == "soctherm_oc"]
        files = [path for chip in alarms for path in _list(chip.path) if _OC_COUNT.fullmatch(path.name)]
    except UnreadableError as error:
        return [], [] if error.gone else [error]
    return files, faults


def count(path: Path) -> float:
    """One of these counts. Raises SensorError."""
    return float(read_int(path, 0, _MOST_EVENTS, "events"))


def _list(directory: Path) -> list[Path]:
    try:
        return entries(directory)
    except UnreadableError as error:
        if error.gone:
            return []
        raise
