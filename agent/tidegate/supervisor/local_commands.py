"""Does what the tools on this machine ask a running agent to do."""

import asyncio
from collections.abc import Callable

from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.reload.reload import Reload
from tidegate.supervisor.sockets.commands import Command, Done, ForgetDrift, ReloadConfig
from tidegate.supervisor.updates.trust import PolicyTrust


class LocalCommands:
    """Belongs to the event loop."""

    def __init__(self, in_force: Callable[[], InForce], reload: Reload, trust: PolicyTrust) -> None:
        self._in_force = in_force
        self._reload = reload
        self._trust = trust

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
            case _:
                return await self._trust.do(command)
