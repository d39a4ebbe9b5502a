"""The worker that a killed supervisor left behind: who it is stands on disk, and the next supervisor ends it.

Linux ends such a worker by itself (tidegate/parent.py); elsewhere a stopped one would hold the sockets for ever.
"""

import json
import logging
from contextlib import suppress
from pathlib import Path

import psutil

log = logging.getLogger(__name__)

FILE_NAME = "worker.json"
GRACE_S = 5.0
"""For what it was asked before its supervisor was gone."""


def remember_worker(path: Path, pid: int) -> None:
    """Write down which process it is; its start time tells it from a later one of the same number."""
    with suppress(OSError, psutil.Error):
        path.write_text(json.dumps({"pid": pid, "started": psutil.Process(pid).create_time()}))


def end_orphan(path: Path, grace_s: float = GRACE_S) -> None:
    """End the worker written down there, if it still runs: give it the time to finish, unless it is stopped."""
    try:
        written = json.loads(path.read_text())
        process = psutil.Process(int(written["pid"]))
        if abs(process.create_time() - float(written["started"])) > 0.05:
            return
        if process.status() != psutil.STATUS_STOPPED:
            with suppress(psutil.TimeoutExpired):
                process.wait(grace_s)
                return
        log.warning("ending worker %d, which a killed agent left behind", process.pid)
        process.kill()
        process.wait(grace_s)
    except (OSError, ValueError, TypeError, KeyError, OverflowError, psutil.Error):
        # None was written down, or it is gone, which is what was wanted.
        return
