"""The models beside the main one: loaded, unloaded and evicted within one memory budget."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tidegate.engines.runtime.auto import AutoEngine
from tidegate.engines.runtime.choice import Choice
from tidegate.engines.runtime.memory import give_back
from tidegate.messages import (
    FurtherModelSpec,
    ModelServed,
    ModelState,
    ModelStates,
    Switched,
)
from tidegate.models.bundle import Bundle
from tidegate.worker.expected_bundle import open_expected
from tidegate.worker.further_model import FurtherModel, loads_now
from tidegate.worker.inference_queue import HERE_BESIDE_OTHERS_MS, HERE_MS
from tidegate.worker.memory_budget import MemoryBudget, need_bytes
from tidegate.worker.model_endpoint import ModelEndpoint
from tidegate.worker.opened_model import UNABLE, OpenedModel, Runtime, open_model
from tidegate.worker.protocol.interface import max_body_bytes
from tidegate.worker.protocol.model_documents import index_entry
from tidegate.worker.protocol.refusals import BadRequest, Unavailable
from tidegate.worker.reception import Reception
from tidegate.worker.served_model import ServedModel

log = logging.getLogger(__name__)

AGAIN_S = 10.0
"""How long the first request for a model that could not be loaded is refused for the same reason."""
ANSWERED_S = 10.0
"""For requests that a model has when it is unloaded."""
LOOK_S = 0.005
AT_MOST = 2.0
"""So much of what a model was seen to take when it was loaded may be freed with it: answers took some since."""

NOT_YET = "the first request for it loads it"
UNLOADED = "unloaded by a client; POST /v2/repository/models/{}/load brings it back"

TryEngines = Callable[[ServedModel, AutoEngine, Callable[[], Choice]], None]
Hook = Callable[[ServedModel], Awaitable[None]]


class NoRoom(Exception):  # noqa: N818 - reads as what it is at the call site
    """A model that does not fit into the memory that there is."""


class FurtherModels:
    """One event loop's. `tell` is called whenever one of them does something else than before."""

    def __init__(
        self,
        main: ServedModel,
        reception: Reception,
        runtime: Runtime,
        budget: MemoryBudget,
        tell: Callable[[ModelStates], None],
    ) -> None:
        self.try_engines: TryEngines = lambda _model, _auto, _trials: None
        """What is done where engines are to be tried for a model that was loaded."""
        self.on_ready: Hook = _nothing
        """Called when a model begins to answer."""
        self.on_gone: Hook = _nothing
        """Called when a model answers no more, before it is closed."""
        self._main = main
        self._reception = reception
        # What is kept for switches is the main model's: a budget for each would be several.
        self._runtime = replace(runtime, keep_bytes=0)
        self._budget = budget
        self._tell_states = tell
        self._entries: dict[str, FurtherModel] = {}
        self._replacing: set[asyncio.Task[None]] = set()
        self._told = ModelStates(())
        # Two at once could each find the same room.
        self._one_at_a_time = asyncio.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all, loaded or not."""
        return tuple(self._entries)

    def take(self, specs: Sequence[FurtherModelSpec]) -> "asyncio.Task[dict[str, str]]":
        """Have these models and no others from now on; the task ends when all are loaded that are wanted.

        It gives those that can't be, each with the reason. Names are known at once, and requests wait.
        """
        doing = [self._reconcile(spec) for spec in specs]
        gone = [name for name in self._entries if name not in {spec.name for spec in specs}]
        removed = {name: self._entries.pop(name) for name in gone}
        self._fit()
        self._tell()
        return asyncio.create_task(self._taken([*filter(None, doing)], removed))

    def find(self, name: str) -> ModelEndpoint | None:
        """What answers for a model now; None while it is being loaded, or the first request is to load it.

        Raises Unavailable for a model that doesn't answer. The name is one of `names`.
        """
        entry = self._entries[name]
        entry.asked_at = time.monotonic()
        if entry.endpoint is not None:
            return entry.endpoint
        if entry.loading is not None:
            return None
        failed_lately = entry.failed_at is not None and entry.asked_at - entry.failed_at < AGAIN_S
        if entry.spec.on_request and entry.wanted and not failed_lately and not entry.spec.obstacle:
            return None
        raise self._unavailable(entry)

    async def ready(self, name: str) -> ModelEndpoint:
        """What answers for a model, once it is loaded. Raises Unavailable, NotFound."""
        entry = self._entry(name)
        if entry.endpoint is None and entry.state is not ModelState.UNLOADING and not entry.spec.obstacle:
            await asyncio.wait([self._loading(entry)])
        if entry.endpoint is None:
            raise self._unavailable(entry)
        return entry.endpoint

    def is_ready(self, name: str) -> str | None:
        """Why a model doesn't answer; None where it does."""
        entry = self._entries[name]
        return None if entry.endpoint is not None else str(self._unavailable(entry))

    async def load(self, name: str) -> None:
        """Have a model loaded, and stay so. Raises Unavailable with the reason where it can't be."""
        entry = self._entry(name)
        entry.wanted = True
        await self.ready(name)

    async def unload(self, name: str) -> None:
        """Answer what the model was asked, and give its memory back. Raises BadRequest while it is needed."""
        entry = self._entry(name)
        if entry.spec.used_by:
            raise BadRequest(f"model {name!r}: {entry.spec.used_by} needs it; change agent.yaml")
        entry.wanted = False
        if entry.loading is not None:
            await asyncio.wait([entry.loading])
        await self._close(entry, UNLOADED.format(name))
        self._tell()

    def index(self) -> list[dict[str, Any]]:
        """What the repository's index says of them."""
        return [
            index_entry(name, entry.state.value, "" if entry.endpoint is not None else entry.reason)
            for name, entry in self._entries.items()
        ]

    @property
    def endpoints(self) -> tuple[ModelEndpoint, ...]:
        """Of those that answer."""
        return tuple(entry.endpoint for entry in self._entries.values() if entry.endpoint is not None)

    @property
    def served(self) -> tuple[ServedModel, ...]:
        """Those that are loaded."""
        return tuple(entry.served for entry in self._entries.values() if entry.served is not None)

    def served_model(self, name: str) -> ServedModel | None:
        """A model that answers; None for another."""
        entry = self._entries.get(name)
        return None if entry is None else entry.served

    async def switch(self, switch_id: int, name: str, point: str) -> Switched:
        """Move a model to another operating point."""
        model = self.served_model(name)
        if model is None:
            return Switched(switch_id, False, "", 0.0, 0.0, None, f"model {name} is not loaded")
        switched = await model.switch(switch_id, point)
        self._tell()
        return switched

    async def answered(self) -> None:
        """Return once each model's queue has answered what waits in it."""
        await asyncio.gather(*(asyncio.wrap_future(each.queue.call(lambda: None)) for each in self.served))

    async def relieve(self) -> None:
        """Give memory back while the worker is near its limit, before it has to be replaced for that."""
        if not self._entries or self._one_at_a_time.locked() or not self._budget.is_tight:
            return
        async with self._one_at_a_time:
            await self._forget_kept()
            while self._budget.is_tight and await self._evict_idlest("memory was short"):
                continue

    def report(self) -> tuple[ModelServed, ...]:
        """What each served since the last report; what nobody asked for in a while is let go."""
        found = []
        for entry in self._entries.values():
            if entry.served is not None:
                entry.count(entry.served)
                entry.served.parts.certified_answers.after_window()
            if entry.uncounted is not None:
                found.append(entry.uncounted)
                entry.uncounted = None
        return tuple(found)

    def stop_loading(self) -> None:
        """Load no more: the worker ends, and must not wait for that."""
        for each in (*self._replacing, *(entry.loading for entry in self._entries.values())):
            if each is not None:
                each.cancel()

    async def close(self) -> None:
        """Answer what was asked, at the worker's end."""
        await asyncio.gather(*(asyncio.to_thread(each.queue.close) for each in self.served))

    def _entry(self, name: str) -> FurtherModel:
        if (entry := self._entries.get(name)) is None:
            raise Unavailable(f"model {name!r}: it was taken out of agent.yaml")
        return entry

    def _reconcile(self, spec: FurtherModelSpec) -> "asyncio.Task[None] | None":
        entry = self._entries.get(spec.name)
        if entry is None:
            entry = self._entries[spec.name] = FurtherModel(spec, spec.wanted)
            entry.reason = spec.obstacle or (NOT_YET if spec.on_request else UNLOADED.format(spec.name))
            return self._begin(entry) if loads_now(spec) else None
        before, entry.spec = entry.spec, spec
        if spec.obstacle and entry.served is None:
            entry.reason = spec.obstacle
        if entry.served is not None:
            entry.failed_at, entry.reason = None, ""  # of another bundle, which was refused
        same = (before.bundle, before.bundle_sha256, before.engine) == (
            spec.bundle,
            spec.bundle_sha256,
            spec.engine,
        )
        if not same and entry.served is not None:
            replacing = asyncio.create_task(self._replace(entry, before))
            self._replacing.add(replacing)
            replacing.add_done_callback(self._replacing.discard)
            return replacing
        if entry.served is None and entry.loading is None and loads_now(spec):
            entry.wanted = True
            return self._begin(entry)
        return None

    async def _taken(
        self, doing: Sequence["asyncio.Task[None]"], removed: dict[str, FurtherModel]
    ) -> dict[str, str]:
        for entry in removed.values():
            if entry.loading is not None:
                entry.loading.cancel()
            await self._close(entry, "it was taken out of agent.yaml")
        if doing:
            await asyncio.wait(doing)
        self._tell()
        return {
            name: entry.reason
            for name, entry in self._entries.items()
            if entry.failed_at is not None and (entry.endpoint is None or entry.reason)
        }

    def _begin(self, entry: FurtherModel) -> "asyncio.Task[None]":
        entry.state, entry.reason = ModelState.LOADING, "it waits for others to be loaded"
        entry.loading = asyncio.create_task(self._load(entry))
        return entry.loading

    def _loading(self, entry: FurtherModel) -> "asyncio.Task[None]":
        return entry.loading if entry.loading is not None else self._begin(entry)

    async def _load(self, entry: FurtherModel) -> None:
        try:
            async with self._one_at_a_time:
                await self._load_alone(entry, entry.spec)
            entry.failed_at, entry.reason = None, ""
        except (*UNABLE, NoRoom, OSError) as error:
            self._failed(entry, str(error))
        except Exception as error:
            log.exception("model %s", entry.spec.name)
            self._failed(entry, f"{type(error).__name__}: {error}")
        finally:
            entry.loading, entry.begun = None, False
        self._tell()

    def _failed(self, entry: FurtherModel, reason: str) -> None:
        log.error("model %s is not loaded: %s", entry.spec.name, reason)
        entry.state, entry.reason, entry.failed_at = ModelState.UNAVAILABLE, reason, time.monotonic()

    async def _load_alone(self, entry: FurtherModel, spec: FurtherModelSpec) -> None:
        """Have the entry answer by this spec. Raises what says why not, and then it does what it did before."""
        entry.state, entry.begun = ModelState.LOADING, True
        entry.reason = f"it is being loaded by engine {spec.engine}"
        self._tell()
        bundle = await asyncio.to_thread(open_expected, Path(spec.bundle), spec.bundle_sha256)
        await self._make_room(entry, bundle, spec.point)
        await asyncio.to_thread(give_back)
        before = self._budget.held_bytes
        opened = await asyncio.to_thread(open_model, bundle, spec.engine, spec.point, self._runtime)
        model = ServedModel(opened.parts(spec.name))
        model.on_refused = self._tell
        await asyncio.to_thread(give_back)
        held = self._budget.held_bytes - before
        if (exceeded := self._budget.exceeded()) is not None:
            del opened
            await self._let_go(model)
            raise NoRoom(exceeded)
        await self._install(entry, model, opened)
        entry.held_bytes = held if held > 0 else None
        entry.needs_bytes = max(entry.needs_bytes, held)

    async def _install(self, entry: FurtherModel, model: ServedModel, opened: OpenedModel) -> None:
        former, former_endpoint = entry.served, entry.endpoint
        if former is not None:
            await self.on_gone(former)
        parts = model.parts
        entry.served = model
        entry.endpoint = ModelEndpoint(
            entry.spec.name, model.interface, model.queue, parts.certified_answers, self._reception
        )
        entry.state = ModelState.READY
        self._answer_briefly()
        await self.on_ready(model)
        if opened.trials is not None and opened.auto is not None:
            self.try_engines(model, opened.auto, opened.trials)
        log.info("model %s answers at %s on %s", entry.spec.name, model.point.name, model.engine)
        if former is not None:
            await self._answered_all(former_endpoint)
            await self._let_go(former)
            entry.count(former)

    async def _replace(self, entry: FurtherModel, before: FurtherModelSpec) -> None:
        """Have another bundle or engine answer by this name; the former one answers until then."""
        wanted = entry.spec
        try:
            async with self._one_at_a_time:
                await self._load_alone(entry, wanted)
            entry.failed_at, entry.reason = None, ""
        except (*UNABLE, NoRoom, OSError) as error:
            self._stays(entry, before, str(error))
        except Exception as error:
            log.exception("model %s", wanted.name)
            self._stays(entry, before, f"{type(error).__name__}: {error}")
        finally:
            entry.begun = False

    @staticmethod
    def _stays(entry: FurtherModel, before: FurtherModelSpec, reason: str) -> None:
        log.error("model %s stays as it is: %s", before.name, reason)
        entry.spec = replace(before, wanted=entry.wanted)
        entry.state, entry.reason, entry.failed_at = ModelState.READY, reason, time.monotonic()

    async def _make_room(self, entry: FurtherModel, bundle: Bundle, point: str) -> None:
        """Return when it fits: what is kept for switches goes first, then models that nobody asked for lately."""
        names = bundle.ladder.names
        wanted = bundle.ladder.points[bundle.ladder.rung(point)] if point in names else bundle.ladder.full
        need = max(need_bytes(bundle, wanted), entry.needs_bytes)
        if self._budget.lacking(need) is None:
            return
        await self._forget_kept()
        lacking = self._budget.lacking(need)
        if lacking is not None and self._budget.lacking(need - AT_MOST * self._evictable_bytes) is not None:
            raise NoRoom(lacking)  # others would be evicted in vain
        while (lacking := self._budget.lacking(need)) is not None:
            if not await self._evict_idlest(f"it made room for {entry.spec.name}"):
                raise NoRoom(lacking)

    @property
    def _evictable_bytes(self) -> float:
        """What was seen to be taken by models that may be evicted; infinite where it wasn't seen of one."""
        others = [each.held_bytes for each in self._entries.values() if each.may_be_evicted]
        return sum(math.inf if each is None else each for each in others)

    async def _forget_kept(self) -> None:
        for model in (self._main, *self.served):
            model.forget_kept()
        await asyncio.to_thread(give_back)

    async def _evict_idlest(self, why: str) -> bool:
        """Unload the model that was not asked for longest; False where none may be."""
        others = [each for each in self._entries.values() if each.may_be_evicted]
        if not others:
            return False
        idlest = min(others, key=lambda each: each.asked_at)
        log.info("model %s is evicted: %s", idlest.spec.name, why)
        await self._close(idlest, f"{why}; {NOT_YET}")
        self._tell()
        return True

    async def _close(self, entry: FurtherModel, reason: str) -> None:
        """Take it out of service, and give its memory back when what it was asked is answered."""
        model, endpoint = entry.served, entry.endpoint
        entry.reason = reason
        if model is None:
            entry.state = ModelState.UNAVAILABLE
            return
        entry.state, entry.endpoint = ModelState.UNLOADING, None
        self._tell()
        await self.on_gone(model)
        await self._answered_all(endpoint)
        entry.served = None
        await self._let_go(model)
        entry.count(model)
        entry.held_bytes = None
        if entry.endpoint is None:
            entry.state = ModelState.UNAVAILABLE
        self._answer_briefly()

    @staticmethod
    async def _answered_all(endpoint: ModelEndpoint | None) -> None:
        """Return when a model that is asked no more has answered what it was."""
        await asyncio.sleep(0)  # requests that were just begun are counted by then
        until = time.monotonic() + ANSWERED_S
        while endpoint is not None and endpoint.unanswered and time.monotonic() < until:  # noqa: ASYNC110 - rare
            await asyncio.sleep(LOOK_S)

    async def _let_go(self, model: ServedModel) -> None:
        await asyncio.to_thread(model.close)
        await asyncio.to_thread(give_back)

    def _answer_briefly(self) -> None:
        """What is answered in the event loop keeps other models' requests from it."""
        for model in (self._main, *self.served):
            model.queue.here_ms = HERE_BESIDE_OTHERS_MS if self.served else HERE_MS

    def _fit(self) -> None:
        further = (max_body_bytes(entry.spec.sample_shape) for entry in self._entries.values())
        self._reception.fit_bodies((self._main.interface.max_body_bytes, *further))

    def _unavailable(self, entry: FurtherModel) -> Unavailable:
        return Unavailable(f"model {entry.spec.name!r} is not loaded: {entry.reason}")

    def _tell(self) -> None:
        now = ModelStates(tuple(map(FurtherModel.told, self._entries.values())))
        if now != self._told:
            self._told = now
            self._tell_states(now)


async def _nothing(_model: ServedModel) -> None:
    return
