"""What the worker served in its last window, for the control and for what is shown."""

from tidegate.messages import Served
from tidegate.supervisor.control.control import Control
from tidegate.supervisor.worker.process import WorkerProcess


class ServedWindows:
    """Belongs to the event loop; `latest` is None before the first refresh and where the worker did not tell."""

    def __init__(self, worker: WorkerProcess, control: Control) -> None:
        self.latest: Served | None = None
        self._worker = worker
        self._control = control

    async def refresh(self) -> None:
        """Have `latest` be the window that ends now, and the next decision know it."""
        self.latest = await self._worker.report()
        if self.latest is not None:
            self._control.note_served(self.latest)
