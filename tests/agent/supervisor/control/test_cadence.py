"""When the control loop decides next; orders of events are compared, not times."""

import asyncio
import threading
import time

from tidegate.supervisor.control.cadence import Cadence

NEVER_S = 60.0


def waited(*, waiting: bool, hurried: bool, soonest_s: float, latest_s: float) -> bool:
    """Whether the next decision came before NEVER_S."""

    async def run() -> bool:
        cadence = Cadence(soonest_s, latest_s)
        if hurried:
            thread = threading.Thread(target=cadence.hurry)
            thread.start()
            thread.join()
        try:
            async with asyncio.timeout(0.5):
                await cadence.next(waiting=waiting)
        except TimeoutError:
            return False
        return True

    return asyncio.run(run())


def test_news_from_another_thread_makes_the_next_decision_due() -> None:
    assert waited(waiting=False, hurried=True, soonest_s=0.01, latest_s=NEVER_S)


def test_without_news_it_is_due_at_the_latest() -> None:
    assert not waited(waiting=False, hurried=False, soonest_s=0.01, latest_s=NEVER_S)
    assert waited(waiting=False, hurried=False, soonest_s=0.01, latest_s=0.02)


def test_a_switch_that_waits_for_its_time_is_looked_at_soon() -> None:
    assert waited(waiting=True, hurried=False, soonest_s=0.01, latest_s=NEVER_S)


def test_news_does_not_make_it_due_sooner_than_the_least() -> None:
    assert not waited(waiting=False, hurried=True, soonest_s=NEVER_S, latest_s=NEVER_S)


def test_news_counts_once() -> None:
    async def run() -> None:
        cadence = Cadence(0.01, NEVER_S)
        cadence.hurry()
        await cadence.next(waiting=False)
        try:
            async with asyncio.timeout(0.3):
                await cadence.next(waiting=False)
        except TimeoutError:
            return
        raise AssertionError("found a decision that nothing called for")

    asyncio.run(run())


def test_what_keeps_the_loop_busy_is_what_makes_a_decision_late() -> None:
    async def run() -> tuple[float | None, float | None]:
        cadence = Cadence(0.001, 0.02)
        before = cadence.latest_s
        asyncio.get_running_loop().call_later(0.01, time.sleep, 0.2)
        await cadence.next(waiting=False)
        return before, cadence.latest_s

    before, after = asyncio.run(run())
    assert before is None
    assert after is not None
    assert after >= 0.15


def test_news_counts_from_when_it_came_not_from_when_the_loop_heard_of_it() -> None:
    async def run() -> float | None:
        cadence = Cadence(0.001, NEVER_S)

        def busy() -> None:
            cadence.hurry()
            time.sleep(0.2)

        asyncio.get_running_loop().call_later(0.01, busy)
        await cadence.next(waiting=False)
        return cadence.latest_s

    late_s = asyncio.run(run())
    assert late_s is not None
    assert late_s >= 0.15


def test_news_after_the_loop_has_ended_is_nobodys() -> None:
    async def made() -> Cadence:
        return Cadence()

    asyncio.run(made()).hurry()
