"""What the processor can do that decides between kernels, read from /proc/cpuinfo; no torch here."""

import platform
from functools import cache
from pathlib import Path

from tidegate.engines.plan.quantization import WEIGHT_LIMIT, WEIGHT_LIMIT_WITHOUT_VNNI

_DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})
"""x86's VNNI and Arm's dot product add 8-bit products in 32 bits, so that none saturates."""


@cache
def cpu_flags() -> frozenset[str]:
    """The processor's feature flags; none where the system has no /proc/cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    names = [line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))]
    return frozenset(names[0].split()) if names else frozenset()


def weight_limit() -> int:
    """The largest int8 weight code whose products don't saturate here."""
    if platform.system() == "Darwin" or cpu_flags() & _DOT_PRODUCTS:
        return WEIGHT_LIMIT
    return WEIGHT_LIMIT_WITHOUT_VNNI
