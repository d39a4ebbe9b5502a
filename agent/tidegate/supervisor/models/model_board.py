"""What is known of the models beside the main one: what is asked of the worker, and what it says they do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tidegate.messages import FurtherModelSpec, FurtherModelState, ModelState, ModelStates
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.models.further_model import FurtherModel

DEATHS_HOLD = 2
"""So many workers in a row that end while a model is being loaded, and it is left alone."""
MEND = "mend it, and `tidegate reload`"
"""What to do about a model that could not be opened at the start."""


class ModelBoard:
    """Belongs to the event loop; outlives the workers."""

    def __init__(
        self,
        models: Sequence[FurtherModel] = (),
        emit: Callable[[Event], None] = lambda _event: None,
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        self.left_out = left_out or {}
        """Models of agent.yaml that could not be opened at the start, each with the reason."""
        self._emit = emit
        self._models = {each.name: each for each in models}
        self._states: dict[str, FurtherModelState] = {}
        self._points: dict[str, str] = {}
        self._unloaded: set[str] = set()
        self._deaths: dict[str, int] = {}
        self._evicted: set[str] = set()

    @property
    def models(self) -> tuple[FurtherModel, ...]:
        """All of them, in the order of agent.yaml."""
        return tuple(self._models.values())

    @property
    def states(self) -> Mapping[str, FurtherModelState]:
        """What the worker says of them, by name; nothing while there is none."""
        return self._states

    def use(self, models: Sequence[FurtherModel], left_out: Mapping[str, str] | None = None) -> None:
        """Have these models from now on; what they died of is forgotten."""
        self._models = {each.name: each for each in models}
        self.left_out = left_out or {}
        self._deaths.clear()
        self._unloaded &= set(self._models)
        for name in set(self._points) - set(self._models):
            del self._points[name]

    def aim(self, name: str, point: str) -> None:
        """Begin there when the model is loaded the next time."""
        self._points[name] = point

    def specs(self, *, held: bool) -> tuple[FurtherModelSpec, ...]:
        """What is asked of a worker; `held` while workers keep ending."""
        return tuple(self._spec(each, held) for each in self._models.values())

    def take(self, message: ModelStates) -> None:
        """What the worker says they do now."""
        for now in message.models:
            before = self._states.get(now.name)
            if now.name not in self._models:
                continue
            self._note_wanted(now)
            self._note_evicted(before, now)
            self._tell(before, now)
        self._states = {each.name: each for each in message.models if each.name in self._models}

    def worker_ended(self, *, unasked: bool) -> None:
        """There is no worker to answer any more; one that ended `unasked` may have died of what it loaded."""
        for name, state in self._states.items():
            if unasked and state.begun:
                self._deaths[name] = self._deaths.get(name, 0) + 1
        self._states = {}
        self._evicted.clear()

    @property
    def trouble(self) -> str | None:
        """Which models don't answer that are to; None for none."""
        reasons = [f"{name}: {reason}; {MEND}" for name, reason in self.left_out.items()]
        for name, state in self._states.items():
            if self.failed(state):
                reasons.append("; ".join(filter(None, (f"{name}: {state.reason}", self.remedy(state)))))
        return "; ".join(reasons) or None

    def failed(self, state: FurtherModelState) -> bool:
        """Whether it doesn't answer although it is to."""
        unavailable = state.state is ModelState.UNAVAILABLE
        return unavailable and state.wanted and not self._rests(state.name, state)

    def remedy(self, state: FurtherModelState) -> str:
        """What to do about a model that could not be loaded; empty for another, and where its reason says it."""
        if not state.failed or self._deaths.get(state.name, 0) >= DEATHS_HOLD:
            return ""
        model = self._models[state.name]
        if model.on_request and not model.used_by:
            return "the next request for it tries again"
        return "mend that, and `tidegate reload` tries again"

    def comes_by_itself(self, model: FurtherModel) -> bool:
        """Whether the next worker loads it without being asked for it."""
        return model.name not in self._unloaded and (not model.on_request or bool(model.used_by))

    def evicted(self, name: str) -> bool:
        """Whether it gave its memory to others, and comes back when it is asked."""
        return name in self._evicted

    def _note_evicted(self, before: FurtherModelState | None, now: FurtherModelState) -> None:
        # Clients' unloading leaves it unwanted; whatever else ends a model that answered is an eviction.
        if now.state is not ModelState.UNAVAILABLE or not now.wanted or now.failed:
            self._evicted.discard(now.name)
        elif before is not None and before.state in {ModelState.READY, ModelState.UNLOADING}:
            self._evicted.add(now.name)

    def _rests(self, name: str, state: FurtherModelState) -> bool:
        model = self._models[name]
        return model.on_request and not model.used_by and not state.failed

    def _note_wanted(self, now: FurtherModelState) -> None:
        if now.wanted:
            self._unloaded.discard(now.name)
        else:
            self._unloaded.add(now.name)
        if now.state is ModelState.READY:
            self._deaths.pop(now.name, None)

    def _tell(self, before: FurtherModelState | None, now: FurtherModelState) -> None:
        was = None if before is None else before.state
        details: dict[str, object] = {"model": now.name, "state": now.state.value}
        if now.state is ModelState.READY and was is not ModelState.READY:
            text = f"model {now.name} answers at {now.point} on {now.engine}"
            self._emit(Event(EventKind.BUNDLE, text, details))
        elif now.state is ModelState.UNAVAILABLE and was in {ModelState.LOADING, ModelState.UNLOADING}:
            kind = EventKind.FAULT if now.failed else EventKind.BUNDLE
            self._emit(Event(kind, f"model {now.name} does not answer: {now.reason}", details))

    def _spec(self, model: FurtherModel, held: bool) -> FurtherModelSpec:
        obstacle = ""
        if held:
            obstacle = "workers keep ending, and only the main model is served for a while"
        elif self._deaths.get(model.name, 0) >= DEATHS_HOLD:
            obstacle = (
                f"the worker ended {self._deaths[model.name]} times while it was loaded; mend it, and"
                " `tidegate reload` tries again"
            )
        ladder = model.bundle.ladder
        point = self._points.get(model.name, ladder.full.name)
        return FurtherModelSpec(
            name=model.name,
            bundle=str(model.bundle.path),
            bundle_sha256=model.bundle.sha256,
            engine=model.engine,
            point=point if point in ladder.names else ladder.full.name,
            sample_shape=model.bundle.input.shape,
            wanted=model.name not in self._unloaded,
            on_request=model.on_request,
            used_by=model.used_by,
            obstacle=obstacle,
        )


def same_but_points(one: Sequence[FurtherModelSpec], other: Sequence[FurtherModelSpec]) -> bool:
    """Whether a worker that was told the one need not be told the other: points it is told by switches."""
    plain = [[replace(each, point="", wanted=True) for each in specs] for specs in (one, other)]
    return plain[0] == plain[1]
