"""Rockchip RK3588 and its kin: the load of the NPU (vendor kernel: drivers/rknpu/rknpu_debugger.c). No meter."""

import re
from functools import partial
from pathlib import Path

from tidegate_drivers.boards.board import read_board
from tidegate_drivers.linux.sysfs import ImplausibleError, read_text
from tidegate_drivers.reading import POWER, Provenance, Unit
from tidegate_drivers.sensor import Discovery, Sensor, SensorError, Unavailable

NPU = "npu"

_DRIVER = "rk3588"
_LOAD = "sys/kernel/debug/rknpu/load"
# `NPU load:  Core0:  5%, Core1:  0%, Core2:  0%,` on newer drivers, `NPU load:  5%` on older ones.
_CORE = re.compile(r"Core([0-9]):\s*([0-9]{1,3})%")
_WHOLE = re.compile(r"NPU load:\s*([0-9]{1,3})%")


def discover(sysroot: Path = Path("/")) -> Discovery:
    """`npu` in %, refuses power; nothing on other boards."""
    again = partial(discover, sysroot)
    board = read_board(sysroot)
    # RK3562, RK3566, RK3568, RK3576 and others have the same NPU driver; what they can't read is not refused.
    known = board is not None and board.is_any("rockchip,rk3588")
    kin = board is None or board.is_any("rockchip,")
    if not known and not (kin and _has_npu(sysroot)):
        return Discovery(_DRIVER, again=again)
    no_meter = Unavailable(
        POWER, _DRIVER, "boards with this chip have no power meter; an external one can be read"
    )
    read = partial(read_npu_percent, sysroot / _LOAD)
    try:
        read()
    except SensorError as error:
        # debugfs is for root, and so is the directory above the file.
        grant = "run `tidegate doctor` as root to see it; no mode opens debugfs alone" if error.grant else ""
        return Discovery(
            _DRIVER, unavailable=(no_meter, Unavailable(NPU, _DRIVER, str(error), grant)), again=again
        )
    npu = Sensor(NPU, Unit.PERCENT, Provenance.MEASURED, "rknpu", read)
    return Discovery(_DRIVER, (npu,), (no_meter,), again)


def _has_npu(sysroot: Path) -> bool:
    # Without a device tree (a container, a partial capture) the NPU's own file tells.
    try:
        read_text(sysroot / _LOAD)
    except SensorError:
        return False
    return True


def read_npu_percent(load: Path) -> float:
    """The mean load of the NPU's cores in %. Raises SensorError."""
    text = read_text(load)
    loads = [int(percent) for _, percent in _CORE.findall(text)]
    whole = _WHOLE.search(text)
    if not loads and whole is not None:
        loads = [int(whole[1])]
    if not loads or max(loads) > 100:
        raise ImplausibleError(f"{load} says {text[:60]!r}, not a load in % of each core")
    return sum(loads) / len(loads)
