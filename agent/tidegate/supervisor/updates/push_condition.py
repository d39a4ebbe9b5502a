"""Waiting for the condition of a push: it is tried when the device's readings allow it, whenever that is."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from tidegate.documents import DocumentError
from tidegate.policy.push_condition import PushCondition, read_condition
from tidegate_drivers.reading import Snapshot

LOOK_EVERY_S = 5.0


def read_condition_of(when: str) -> PushCondition | str | None:
    """The condition of a push, None for any time, or what is wrong with it."""
    try:
        return read_condition(when, "when") if when else None
    except DocumentError as error:
        return str(error)


def waits_for(condition: PushCondition) -> str:
    """What `reported` says meanwhile."""
    return f"it waits for {condition.text}"


async def until_it_holds(
    condition: PushCondition, snapshot: Callable[[], Snapshot], waiting: Callable[[], None]
) -> bool:
    """Return once the condition holds; `waiting` is called once where it does not yet. Whether it had to wait."""
    waited = False
    while not condition.holds(snapshot(), datetime.now().astimezone()):
        if not waited:
            waiting()
        waited = True
        await asyncio.sleep(LOOK_EVERY_S)
    return waited
