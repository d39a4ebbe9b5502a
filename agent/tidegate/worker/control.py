"""The worker's side of the control channel: the supervisor asks, the worker does and answers."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from pydantic import ValidationError

from tidegate.engines.engine import Engine, UnsupportedPoint
from tidegate.engines.runtime.memory import return_freed
from tidegate.messages import (
    AdmissionState,
    Ping,
    Pong,
    Report,
    Serve,
    Stop,
    Switch,
    Switched,
    ToWorker,
    decode_to_worker,
    encode,
    lines,
)
from tidegate.models.bundle import Bundle
from tidegate.models.bundle.evidence import Canaries
from tidegate.models.errors import BundleError
from tidegate.worker.canary import AGREEMENT_NEEDED, agreement, disagreement_in_words
from tidegate.worker.endpoint import Endpoint
from tidegate.worker.idle import IdleMemory
from tidegate.worker.inference_queue import InferenceQueue
from tidegate.worker.shadow import Shadow

log = logging.getLogger(__name__)


class ControlChannel:
    """Reads the supervisor's messages until Stop or the end of the channel."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        bundle: Bundle,
        engine: Engine,
        queue: InferenceQueue,
        endpoint: Endpoint,
        shadow: Shadow,
        canaries: Canaries,
        takes_connections: Callable[[], bool],
    ) -> None:
        self.may_serve = asyncio.Event()
        """Set when the supervisor lets requests in."""
        self._reader = reader
        self._writer = writer
        self._bundle = bundle
        self._engine = engine
        self._queue = queue
        self._endpoint = endpoint
        self._shadow = shadow
        self._takes_connections = takes_connections
        self._canaries = canaries
        self._idle_memory = IdleMemory(return_freed)
        self._switching = asyncio.Lock()

    async def serve(self) -> None:
        """Answer until told to stop; a closed channel means the supervisor is gone, which is a Stop as well."""
        async with asyncio.TaskGroup() as answering:
            async for line in lines(self._reader):
                try:
                    message = decode_to_worker(line)
                except ValidationError as error:
                    # Whoever waits for an answer hears of it by its deadline; requests go on.
                    log.error("no message: %s", error.errors(include_url=False)[0]["msg"])  # noqa: TRY400 - no traceback to see
                    continue
                if isinstance(message, Stop):
                    return
                # A task each: a ping must not wait for a switch that is preparing.
                answering.create_task(self._handle(message))
        log.warning("the supervisor is gone")

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
                    turned_away=self._endpoint.take_turned_away(),
                    shadow=self._shadow.take(),
                )
                self._idle_memory.after(served)
                self._writer.write(encode(served))
            case AdmissionState():
                self._endpoint.admission_state = message
            case Switch():
                async with self._switching:
                    self._writer.write(encode(await self._switch(message)))
            case Serve():
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
