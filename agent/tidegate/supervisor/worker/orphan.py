"""The worker that a killed supervisor left behind: who it is stands on disk, and the next supervisor ends it.

The kernel of Linux asks such a worker to end (tidegate/parent.py); a stopped one would hold the sockets for ever.
"""

import json
import logging
import os
import platform
import re
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

FILE_NAME = "worker.json"
GRACE_S = 5.0
"""For what it was asked before its supervisor was gone."""


def remember_worker(path: Path, pid: int) -> None:
    """Write down which process it is; its start time tells it from a later one of the same number."""
    with suppress(OSError, ValueError):
        path.write_text(json.dumps({"pid": pid, "started": _started_at(pid)}))


def end_orphan(path: Path, grace_s: float = GRACE_S) -> None:
    """End the worker written down there, if it still runs: give it the time to finish, unless it is stopped."""
    try:
        written = json.loads(path.read_text())
        pid = int(written["pid"])
        if abs(_started_at(pid) - float(written["started"])) > 0.05:
            return
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return  # none was written down, or nonsense, or it is gone, which is what was wanted
    import psutil  # noqa: PLC0415 - as below

    try:
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_STOPPED:
            with suppress(psutil.TimeoutExpired):
                process.wait(grace_s)
                return
        log.warning("ending worker %d, which a killed agent left behind", process.pid)
        process.kill()
        process.wait(grace_s)
    except psutil.Error:
        return  # it is gone, which is what was wanted


def _started_at(pid: int) -> float:
    """Unix time, s, as psutil reckons it. Raises OSError when the process is gone."""
    if platform.system() == "Linux":
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        (boot_at,) = re.findall(r"^btime (\d+)$", Path("/proc/stat").read_text(), re.MULTILINE)
        # The 22nd field of proc_pid_stat(5); the name in brackets may hold spaces.
        return float(boot_at) + int(after_name[19]) / os.sysconf("SC_CLK_TCK")
    import psutil  # noqa: PLC0415 - Linux does without its 0.7 MB

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error as error:
        raise ProcessLookupError(str(error)) from error
