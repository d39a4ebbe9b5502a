"""Does what the tools on this machine ask a running agent to do."""

import asyncio
from collections.abc import Callable

from tidegate.footage import kept
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.recount.recounting import Recounting
from tidegate.supervisor.reload.reload import Reload
from tidegate.supervisor.sockets.commands import (
    ClearFootage,
    Command,
    CountFootage,
    Done,
    ForgetDrift,
    ReloadConfig,
)
from tidegate.supervisor.updates.trust import PolicyTrust
from tidegate.supervisor.worker.process import WorkerProcess


class LocalCommands:
    """Belongs to the event loop."""

    def __init__(
        self,
        in_force: Callable[[], InForce],
        reload: Reload,
        trust: PolicyTrust,
        worker: WorkerProcess,
        recounting: Recounting,
    ) -> None:
        self._in_force = in_force
        self._reload = reload
        self._trust = trust
        self._worker = worker
        self._recounting = recounting

    async def do(self, command: Command) -> Done:
        """Do it and say what was done, or why nothing was."""
        match command:
            case ForgetDrift():
                return Done(self._in_force().drift.forget(command.point))
            case ReloadConfig():
                # A client that hangs up does not end a reload.
                reloaded = await asyncio.shield(asyncio.ensure_future(self._reload.run()))
                return Done(
                    refused=reloaded.refused, changed=reloaded.changed, after_restart=reloaded.after_restart
                )
            case ClearFootage():
                return await self._clear_footage()
            case CountFootage():
                return Done(refused=self._recounting.ask())
            case _:
                return await self._trust.do(command)

    async def _clear_footage(self) -> Done:
        # The worker deletes as well: what waits in it for the disk comes after this.
        self._worker.forget_footage()
        try:
            await asyncio.to_thread(kept.clear, self._in_force().config.state_dir / kept.DIRECTORY)
        except OSError as error:
            return Done(refused=f"{error.filename}: {error.strerror}; frames are still there, delete them by hand")
        return Done()
