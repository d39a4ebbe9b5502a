"""Which build of the operating system this is. No numpy here: the supervisor asks as well."""

import platform
import subprocess
from functools import cache


@cache
def system_build() -> str:
    """The build of the operating system that this process runs on, in which a Mac's and a board's drivers come."""
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "kern.osversion"]
        try:
            told = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
            return f"macOS {told.stdout.strip()}"
        except (OSError, subprocess.SubprocessError):
            return f"macOS {platform.mac_ver()[0]}"
    try:
        told_by_file = platform.freedesktop_os_release()
    except OSError:
        return platform.system()
    parts = (told_by_file.get(key, "") for key in ("ID", "VERSION_ID", "BUILD_ID"))
    return " ".join(part for part in parts if part)
