"""Whether this is a Mac with a chip of Apple's."""

import platform


def has_core_ml() -> bool:
    """Whether this is such a Mac with macOS 15 or newer, whose Core ML takes several functions in one package."""
    return _has_macos(15)


def has_core_ai() -> bool:
    """Whether this is such a Mac with macOS 27 or newer, which brings Core AI's own kernels."""
    return _has_macos(27)


def _has_macos(oldest: int) -> bool:
    version = platform.mac_ver()[0].partition(".")[0]
    return is_apple_silicon() and version.isdigit() and int(version) >= oldest


def is_apple_silicon() -> bool:
    """Macs with Intel's have none of the runtimes for them."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"
