"""The worker's side of the control channel: the supervisor asks, the worker does and answers."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from pydantic import ValidationError

from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.runtime.auto import AutoEngine
from tidegate.engines.runtime.choice import Choice
from tidegate.engines.runtime.memory import return_freed
from tidegate.engines.runtime.resident import ResidentEngine
from tidegate.messages import (
    AdmissionState,
    Ping,
    Pong,
    Report,
    Serve,
    Stop,
    StreamCount,
    Switch,
    Switched,
    ToWorker,
    Tried,
    decode_to_worker,
    encode,
    lines,
)
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.evidence import Canaries
from tidegate.models.errors import BundleError
from tidegate.models.ladder import OperatingPoint
from tidegate.validation_words import in_words
from tidegate.worker.canary import AGREEMENT_NEEDED, agreement, disagreement_in_words
from tidegate.worker.certified_answers import CertifiedAnswers
from tidegate.worker.choosing import refused_points
from tidegate.worker.endpoint import Endpoint
from tidegate.worker.idle import IdleMemory
from tidegate.worker.inference_queue import FAILURES, InferenceQueue
from tidegate.worker.shadow import Shadow

log = logging.getLogger(__name__)

GIVEN_UP_S = 600.0
"""After that a point that failed is offered again: what it lacked may be there."""


class ControlChannel:
    """Reads the supervisor's messages until Stop or the end of the channel."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        bundle: Bundle,
        engine: ResidentEngine,
        queue: InferenceQueue,
        endpoint: Endpoint,
        shadow: Shadow,
        certified_answers: CertifiedAnswers,
        canaries: Canaries,
        takes_connections: Callable[[], bool],
        take_dropped: Callable[[], tuple[str, ...]] = tuple,
        take_turned_away: Sequence[Callable[[], int]] = (),
    ) -> None:
        """`take_turned_away` tell of each way in how many requests the policy's limits refused."""
        self.may_serve = asyncio.Event()
        """Set when the supervisor lets requests in."""
        self.serve_message = Serve()
        """What is to be read from then on."""
        self.take_streams: Callable[[], tuple[StreamCount, ...]] = tuple
        """What was counted of them since the last call."""
        self.take_frigate: Callable[[], StreamCount | None] = lambda: None
        """What was counted of Frigate's pictures since the last call."""
        self._reader = reader
        self._writer = writer
        self._bundle = bundle
        self._engine = engine
        self._queue = queue
        self._endpoint = endpoint
        self._shadow = shadow
        self._certified_answers = certified_answers
        self._refused = dict(certified_answers.refused)
        self._takes_connections = takes_connections
        self._take_dropped = take_dropped
        self._take_turned_away = take_turned_away
        self._canaries = canaries
        self._idle_memory = IdleMemory(return_freed)
        self._switching = asyncio.Lock()
        self._given_up: dict[str, str] = {}
        self._loop = asyncio.get_running_loop()
        queue.on_failing = self._heard_of_failing

    async def serve(self) -> None:
        """Answer until told to stop; a closed channel means the supervisor is gone, which is a Stop as well."""
        async with asyncio.TaskGroup() as answering:
            async for line in lines(self._reader):
                try:
                    message = decode_to_worker(line)
                except ValidationError as error:
                    # Whoever waits for an answer hears of it by its deadline; requests go on.
                    log.error("no message: %s", in_words(error.errors(include_url=False)[0]["msg"]))  # noqa: TRY400 - no traceback to see
                    continue
                if isinstance(message, Stop):
                    return
                # A task each: a ping must not wait for a switch that is preparing.
                answering.create_task(self._handle(message))
        log.warning("the supervisor is gone")

    async def use(self, auto: AutoEngine, choice: Choice) -> None:
        """Go over to the engines that were found best, and tell the supervisor which points there are now."""
        async with self._switching:
            serving = self._queue.point
            before = auto.engine_of(serving)
            auto.adopt(choice)
            self._engine.forget()
            refused = await asyncio.to_thread(refused_points, self._engine, self._bundle.ladder)
            if serving.name not in refused and auto.engine_of(serving) != before:
                switched = await self._switch(Switch(0, serving.name))
                log.info(
                    "%s answers with %s now: %s", serving.name, auto.engine_of(serving), switched.reason or "yes"
                )
            self._refused = refused
        self._tell_refused()
        await self._writer.drain()

    def _heard_of_failing(self, point: OperatingPoint, error: Exception) -> None:
        """In whichever thread answers."""
        self._loop.call_soon_threadsafe(self._give_up, point, error)

    def _give_up(self, point: OperatingPoint, error: Exception) -> None:
        """Have the supervisor choose among the other points for a while, where one of them is certified."""
        gone = {**self._refused, **self._given_up, point.name: ""}
        if not any(each.certificate is not None and each.name not in gone for each in self._bundle.ladder.points):
            log.error("%s fails, and there is no other certified point: %s", point.name, error)
            return
        log.error("%s fails and is given up for %.0f s: %s", point.name, GIVEN_UP_S, error)
        self._given_up[point.name] = f"it failed {FAILURES} times in a row: {error}"
        self._tell_refused()
        self._loop.call_later(GIVEN_UP_S, self._offer_again, point.name)

    def _offer_again(self, point: str) -> None:
        del self._given_up[point]
        if not self._writer.is_closing():
            self._tell_refused()

    def _tell_refused(self) -> None:
        refused = {**self._refused, **self._given_up}
        self._certified_answers.refused = refused
        self._writer.write(encode(Tried(self._engine.name, refused)))

    async def _handle(self, message: ToWorker) -> None:
        match message:
            case Ping(id=ping_id):
                await asyncio.wrap_future(self._queue.call(lambda: None))
                if not self._takes_connections():
                    log.error("no answer to the supervisor's ping: no connection gets in, a new worker is needed")
                    return
                self._writer.write(encode(Pong(ping_id)))
            case Report(id=report_id):
                served = replace(
                    self._queue.report(report_id),
                    turned_away=sum(take() for take in self._take_turned_away),
                    shadow=self._shadow.take(),
                    dropped=self._take_dropped(),
                    streams=self.take_streams(),
                    frigate=self.take_frigate(),
                )
                self._idle_memory.after(served)
                self._certified_answers.after_window()
                self._writer.write(encode(served))
            case AdmissionState():
                self._endpoint.admission_state = message
            case Switch():
                async with self._switching:
                    self._writer.write(encode(await self._switch(message)))
            case Serve():
                self.serve_message = message
                self.may_serve.set()
            case Stop():
                return
        await self._writer.drain()

    async def _switch(self, message: Switch) -> Switched:
        """Prepare and verify beside the serving variant; only a verified one gets to answer requests."""
        started = time.perf_counter()
        try:
            point = self._bundle.ladder.points[self._bundle.ladder.rung(message.point)]
            variant = await asyncio.to_thread(self._engine.prepare, point)
        except KeyError:
            return self._kept(message.id, f"the bundle has no operating point {message.point!r}")
        except UnsupportedPoint as error:
            return self._kept(message.id, str(error))
        except (BundleError, OSError) as error:
            return replace(self._kept(message.id, str(error)), bundle_changed=True)
        agreed = await asyncio.to_thread(agreement, variant, self._canaries)
        prepare_ms = (time.perf_counter() - started) * 1e3
        if agreed < AGREEMENT_NEEDED:
            variant.release()
            return self._kept(message.id, disagreement_in_words(variant, agreed), agreed)
        switch_ms = await asyncio.wrap_future(self._queue.swap(variant))
        return Switched(message.id, True, point.name, prepare_ms, switch_ms, agreed)

    def _kept(self, switch_id: int, reason: str, agreed: float | None = None) -> Switched:
        return Switched(switch_id, False, self._queue.point.name, 0.0, 0.0, agreed, reason)
