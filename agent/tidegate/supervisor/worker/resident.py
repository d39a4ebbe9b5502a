"""How much memory a process holds, without a library where the kernel says it in one line."""

import os
import platform
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int) -> int | None:
    """Resident bytes by statm (proc_pid_statm(5)), elsewhere by psutil; None when the process is gone."""
    if platform.system() == "Linux":
        try:
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
        except (FileNotFoundError, ProcessLookupError):
            return None
    import psutil  # noqa: PLC0415 - Linux goes without its 0.7 MB

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
