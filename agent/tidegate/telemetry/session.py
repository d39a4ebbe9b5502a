"""The session number: one more at every start, so that a death on MQTT can be paired with its birth."""

import os
import time
from pathlib import Path

from tidegate.durable_number import read_number, write_number


def next_session(path: Path) -> int:
    """The number of the session that starts now, written to `path` before it is returned.

    A missing file means the first session, 1. A damaged one is continued from the Unix time in seconds, which
    is above any count of starts, so that the number still grows. Raises OSError when it cannot be written.
    """
    before = read_number(path)
    if before is None:
        before = int(time.time()) if os.path.lexists(path) else 0
    write_number(path, before + 1)
    return before + 1
