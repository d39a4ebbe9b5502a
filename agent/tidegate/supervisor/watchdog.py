"""When systemd's watchdog is fed: by the control loop's steps, and never while the worker is past mending."""

import time
from collections.abc import Callable

from tidegate.supervisor.sd_notify import notify

LONGEST_STEP_S = 75.0
"""A step that switches waits for the worker, which answers meanwhile; a minute is all it may take."""


class Watchdog:
    """Belongs to the event loop. `stuck` says that a worker neither answers nor can be replaced.

    Then systemd hears nothing any more and restarts the service, as when the loop itself hangs.
    """

    def __init__(self, stuck: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._stuck = stuck
        self._clock = clock
        self._step_began_at: float | None = None

    def step_begins(self) -> None:
        """The control loop begins a step."""
        self._step_began_at = self._clock()

    def step_done(self, status: str) -> None:
        """The control loop has done a step; `status` is for whoever reads `systemctl status`."""
        self._step_began_at = None
        if self._stuck():
            notify(STATUS=f"{status}: neither answers nor ends, a restart is needed")
        else:
            notify(WATCHDOG=1, STATUS=status)

    def worker_answered(self) -> None:
        """The worker has answered a ping: a step that takes long waits for a worker that is alive."""
        began_at = self._step_began_at
        if began_at is not None and self._clock() - began_at < LONGEST_STEP_S:
            notify(WATCHDOG=1)
