"""What the worker served in its last window, for the control and for what is shown."""

from tidegate.messages import Served
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.metrics.served_totals import ServedTotals
from tidegate.supervisor.worker.process import WorkerProcess


class ServedWindows:
    """Belongs to the event loop; `latest` is None before the first refresh and where the worker did not tell.

    `totals` adds all windows up.
    """

    def __init__(self, worker: WorkerProcess, control: Control) -> None:
        self.latest: Served | None = None
        self.totals = ServedTotals()
        self._worker = worker
        self._control = control

    async def refresh(self) -> None:
        """Have `latest` be the window that ends now, and the next decision know it."""
        self.latest = await self._worker.report()
        if self.latest is not None:
            self.totals = self.totals.plus(self.latest)
            self._control.note_served(self.latest)
