"""Whether the bundle that the agent serves has been replaced by another one, and a worker needs it."""

import asyncio
from collections.abc import Callable

from tidegate.models.bundle import open_bundle
from tidegate.models.errors import BundleError
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.in_force import InForce


async def wait_superseded(
    in_force: Callable[[], InForce], changed: asyncio.Event, emit: Callable[[Event], None]
) -> None:
    """Return once `changed` says that a worker needs the bundle and another one lies there, which can be opened.

    One that can't be opened is told by an event, once, and waited out.
    """
    told = ""
    while True:
        await changed.wait()
        changed.clear()
        path, opened = in_force().bundle.path, in_force().bundle
        old = opened.sha256
        try:
            new = await asyncio.to_thread(open_bundle, path)
        except (BundleError, OSError) as error:
            text = f"{path} is not the bundle any more that was opened ({old[:12]}...), and is none: {error}"
            if text != told:
                told = text
                emit(Event(EventKind.BUNDLE, text, {"opened": old, "found": None}))
            continue
        if new.sha256 == old:
            continue
        text = (
            f"{path} holds another bundle ({new.model}, {new.sha256[:12]}...) than was opened "
            f"({opened.model}, {old[:12]}...): starting over with it"
        )
        emit(Event(EventKind.BUNDLE, text, {"opened": old, "found": new.sha256}))
        return
