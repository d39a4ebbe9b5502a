"""A Unix socket whose file comes back: cleaners of temporary directories delete what agents still listen on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

CLOSE_S = 1.0


def identity(path: Path) -> tuple[int, int] | None:
    """Which file lies there, as device and inode; None for none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class KeptSocket:
    """Serves at a path, and again there when its file has been deleted or replaced."""

    def __init__(self, path: Path, serve: Callable[[Path], Awaitable[asyncio.Server]]) -> None:
        self._path = path
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._file: tuple[int, int] | None = None
        self._said = ""

    async def start(self) -> None:
        """Serve; where that can't be, say so once: it stays `gone`."""
        try:
            self._server = await self._serve(self._path)
        except OSError as error:
            if self._said != (reason := error.strerror or str(error)):
                self._said = reason
                log.error("%s: can't listen here, tried again every few seconds: %s", self._path, reason)  # noqa: TRY400 - no traceback to see
            return
        self._said = ""
        self._file = await asyncio.to_thread(identity, self._path)

    @property
    def gone(self) -> bool:
        """Whether it is not served, or its file is gone; may wait for a disk."""
        return self._server is None or identity(self._path) != self._file

    async def renew(self) -> None:
        """Serve anew."""
        await self.close()
        await self.start()

    async def close(self) -> None:
        """Serve no more."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await server.wait_closed()
