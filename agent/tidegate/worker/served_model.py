"""One model that answers: its bundle, its engine, the queue before it, and how it gets to another point."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.runtime.auto import AutoEngine
from tidegate.engines.runtime.choice import Choice
from tidegate.engines.runtime.resident import ResidentEngine
from tidegate.messages import Switched
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.evidence import Canaries
from tidegate.models.errors import BundleError
from tidegate.models.ladder import OperatingPoint
from tidegate.worker.canary import AGREEMENT_NEEDED, agreement, disagreement_in_words
from tidegate.worker.certified_answers import CertifiedAnswers
from tidegate.worker.choosing import refused_points
from tidegate.worker.inference_queue import FAILURES, InferenceQueue
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.shadow import Shadow

log = logging.getLogger(__name__)

GIVEN_UP_S = 600.0
"""After that a point that failed is offered again: what it lacked may be there."""


@dataclass(frozen=True, slots=True)
class ModelParts:
    """What a served model is made of; `auto` is its engine where that chooses among several."""

    name: str
    bundle: Bundle
    interface: Interface
    engine: ResidentEngine
    queue: InferenceQueue
    shadow: Shadow
    certified_answers: CertifiedAnswers
    canaries: Canaries
    auto: AutoEngine | None = None


class ServedModel:
    """Belongs to the event loop in which it is made; `on_refused` is called when other points are refused."""

    def __init__(self, parts: ModelParts) -> None:
        self.parts = parts
        self.name = parts.name
        self.interface = parts.interface
        self.queue = parts.queue
        self.shadow = parts.shadow
        self.on_refused: Callable[[], None] = _nothing
        self._bundle = parts.bundle
        self._engine = parts.engine
        self._refused = dict(parts.certified_answers.refused)
        self._given_up: dict[str, str] = {}
        self._switching = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self.is_closed = False
        """Whether it answers no more."""
        parts.queue.on_failing = self._heard_of_failing

    @property
    def point(self) -> OperatingPoint:
        """The operating point that answers."""
        return self.queue.point

    @property
    def engine(self) -> str:
        """The engine's name."""
        return self._engine.name

    @property
    def refused(self) -> dict[str, str]:
        """The points that can't be used for now, by name, each with the reason."""
        return {**self._refused, **self._given_up}

    async def switch(self, switch_id: int, point: str) -> Switched:
        """Prepare and verify beside the serving variant; only a verified one gets to answer requests."""
        async with self._switching:
            return await self._switch(switch_id, point)

    async def use(self, auto: AutoEngine, choice: Choice) -> None:
        """Go over to the engines that were found best."""
        async with self._switching:
            serving = self.queue.point
            before = auto.engine_of(serving)
            auto.adopt(choice)
            self._engine.forget()
            refused = await asyncio.to_thread(refused_points, self._engine, self._bundle.ladder)
            if serving.name not in refused and auto.engine_of(serving) != before:
                switched = await self._switch(0, serving.name)
                log.info(
                    "%s answers with %s now: %s", serving.name, auto.engine_of(serving), switched.reason or "yes"
                )
            self._refused = refused
        self._tell_refused()

    def forget_kept(self) -> None:
        """Give up what lies in memory without serving: points that were left, and one that requests asked for."""
        self._engine.forget()

    def close(self) -> None:
        """Answer what is queued, then hold nothing any more. May take as long as those answers do."""
        self.is_closed = True
        self.queue.close()
        self.queue.on_failing = _nobody
        self.on_refused = _nothing
        self._engine.forget()
        self.queue.release()
        self.shadow.close()
        self.parts.certified_answers.close()

    async def _switch(self, switch_id: int, name: str) -> Switched:
        started = time.perf_counter()
        try:
            point = self._bundle.ladder.points[self._bundle.ladder.rung(name)]
            variant = await asyncio.to_thread(self._engine.prepare, point)
        except KeyError:
            return self._kept(switch_id, f"the bundle has no operating point {name!r}")
        except UnsupportedPoint as error:
            return self._kept(switch_id, str(error))
        except (BundleError, OSError) as error:
            return replace(self._kept(switch_id, str(error)), bundle_changed=True)
        agreed = await asyncio.to_thread(agreement, variant, self.parts.canaries)
        prepare_ms = (time.perf_counter() - started) * 1e3
        if agreed < AGREEMENT_NEEDED:
            variant.release()
            return self._kept(switch_id, disagreement_in_words(variant, agreed), agreed)
        if self.is_closed:
            variant.release()
            return self._kept(switch_id, f"model {self.name} is not loaded any more", agreed)
        switch_ms = await asyncio.wrap_future(self.queue.swap(variant))
        return Switched(switch_id, True, point.name, prepare_ms, switch_ms, agreed)

    def _kept(self, switch_id: int, reason: str, agreed: float | None = None) -> Switched:
        return Switched(switch_id, False, self.queue.point.name, 0.0, 0.0, agreed, reason)

    def _heard_of_failing(self, point: OperatingPoint, error: Exception) -> None:
        """In whichever thread answers."""
        self._loop.call_soon_threadsafe(self._give_up, point, error)

    def _give_up(self, point: OperatingPoint, error: Exception) -> None:
        """Have the supervisor choose among the other points for a while, where one of them is certified."""
        gone = {**self.refused, point.name: ""}
        if not any(each.certificate is not None and each.name not in gone for each in self._bundle.ladder.points):
            log.error("%s fails, and there is no other certified point: %s", point.name, error)
            return
        log.error("%s fails and is given up for %.0f s: %s", point.name, GIVEN_UP_S, error)
        self._given_up[point.name] = f"it failed {FAILURES} times in a row: {error}"
        self._tell_refused()
        self._loop.call_later(GIVEN_UP_S, self._offer_again, point.name)

    def _offer_again(self, point: str) -> None:
        del self._given_up[point]
        if not self.is_closed:
            self._tell_refused()

    def _tell_refused(self) -> None:
        self.parts.certified_answers.refused = self.refused
        self.on_refused()


def _nothing() -> None:
    return


def _nobody(_point: OperatingPoint, _error: Exception) -> None:
    return
