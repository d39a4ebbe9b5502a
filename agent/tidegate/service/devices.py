"""What this machine has that the unit's sandbox would hide, or that root alone may read."""

import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NODES = {
    "vcio": "a Raspberry Pi's firmware, which tells of under-voltage and throttling",
    "hailo[0-9]*": "Hailo",
    "apex_[0-9]*": "Coral, on PCIe",
    "rknpu": "Rockchip's NPU",
    "dri/renderD[0-9]*": "an NPU whose driver is one of DRM's: NPU_DRIVERS",
    "accel/accel[0-9]*": "an NPU of the kernel's accel subsystem: Intel, AMD, Qualcomm, Rockchip",
    "fastrpc-[acs]dsp*": "Qualcomm's Hexagon",
    "adsprpc-smd*": "Qualcomm's Hexagon, by the vendor's kernel",
    "nvidia[0-9]*": "an NVIDIA GPU, which tells of its load",
    "nvidiactl": "NVIDIA's driver",
}
"""Below /dev, each a pattern and what it belongs to, by the names that drivers give: the kernel's accel subsystem
and fastrpc, hailort-drivers, gasket, Rockchip's and NVIDIA's. A Coral on USB has no node of its own."""
NPU_DRIVERS = frozenset({"rknpu", "etnaviv"})
"""Of /dev/dri's render nodes those are opened; graphics answers nothing here."""


@dataclass(frozen=True, slots=True)
class Node:
    """A device node, and the group that may use it; None where everybody may, or root alone."""

    path: str
    group_id: int | None = None


@dataclass(frozen=True, slots=True)
class Devices:
    """`nodes` are to be opened; `rapl`: there are energy counters."""

    nodes: tuple[Node, ...] = ()
    rapl: bool = False


def devices(root: Path = Path("/")) -> Devices:
    """Accelerators of all kinds, and what the drivers `raspberry_pi` and `rapl` look for."""
    found = sorted({path for pattern in NODES for path in (root / "dev").glob(pattern)})
    return Devices(
        nodes=tuple(node for path in found if (node := _node(path, root)) is not None),
        rapl=any((root / "sys/class/powercap").glob("intel-rapl:*/energy_uj")),
    )


def _node(path: Path, root: Path) -> Node | None:
    with suppress(OSError):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode) or (path.parent.name == "dri" and not _drives_an_npu(path.name, root)):
            return None
        opens = status.st_mode & stat.S_IRGRP and not status.st_mode & stat.S_IROTH and status.st_gid != 0
        return Node(f"/{path.relative_to(root)}", status.st_gid if opens else None)
    return None


def _drives_an_npu(render_node: str, root: Path) -> bool:
    return (root / "sys/class/drm" / render_node / "device/driver").resolve().name.lower() in NPU_DRIVERS
