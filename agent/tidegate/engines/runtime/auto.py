"""The engine `auto`: for every operating point the engine that was measured to be best on this device."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock

from tidegate.engines.engine import REFERENCE, Engine, UnsupportedPoint, Variant
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.choice import Choice, Trial, choose
from tidegate.engines.runtime.dropped import Dropped
from tidegate.engines.runtime.measured import Measured, Measurements
from tidegate.engines.runtime.other_load import BUSY, OtherLoad
from tidegate.engines.runtime.placement import CPU, placement_of, unit_of
from tidegate.engines.runtime.runtimes import AUTO
from tidegate.engines.runtime.trials import contest
from tidegate.engines.runtime.watched_variant import WatchedVariant
from tidegate.models.bundle import Bundle
from tidegate.models.ladder import OperatingPoint

log = logging.getLogger(__name__)


class AutoEngine:
    """Hands each point to its engine; an engine is opened when the first point of its own is prepared.

    An engine whose answer turns out to be wrong is dropped at once: others here run its points, where they can.
    """

    def __init__(
        self,
        choice: Choice,
        opener: Callable[[str], Engine],
        others: Sequence[str] = (),
        dropped: Dropped | None = None,
        untried: str | None = None,
    ) -> None:
        """`others` may run a point when its engine was dropped, in this order.

        `untried` names the engine that answers until the trials say better: what it can't run, nobody knows.
        """
        self._choice = choice
        self._untried = untried
        self._open = opener
        self._others = others
        self._dropped = dropped or Dropped(Cache(None))
        self._engines: dict[str, Engine] = {}
        self._told: list[str] = []
        self._opening = Lock()
        # Not the same: opening takes seconds, and nobody who asks what was dropped waits for it.
        self._dropping = Lock()

    @property
    def name(self) -> str:
        """`auto` and the engines behind it: `auto (eager, onnx)`."""
        return f"{AUTO} ({', '.join(sorted(set(self._choice.engines.values()) - self._dropped.reasons.keys()))})"

    def take_dropped(self) -> tuple[str, ...]:
        """What was found out about engines since the last call: each was dropped for it."""
        with self._dropping:
            told, self._told = self._told, []
        return tuple(told)

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for a point that has no engine here."""
        name = self._choice.engines.get(point.name)
        if name is None:
            told = [reason for reason in self._choice.reasons if reason.startswith(f"{point.name}:")]
            raise UnsupportedPoint("; ".join(told) or f"{point.name} was not tried on this device")
        if name in self._dropped.reasons:
            self._engine_for(point)
        elif name == self._untried:
            self.opened(name).check(point)

    def prepare(self, point: OperatingPoint) -> Variant:
        """Raises UnsupportedPoint for a point that has no engine here."""
        self.check(point)
        name, engine = self._engine_for(point)
        return WatchedVariant(
            engine.prepare(point), name, partial(self._held_against, name), partial(self._other, point)
        )

    def engine_of(self, point: OperatingPoint) -> str | None:
        """The name of the engine that a point is prepared on now; None where it has none here."""
        name = self._choice.engines.get(point.name)
        if name not in self._dropped.reasons:
            return name
        try:
            return self._engine_for(point)[0]
        except UnsupportedPoint:
            return None

    def adopt(self, choice: Choice) -> None:
        """Hand points to other engines from now on; variants that were prepared stay what they are."""
        self._choice, self._others, self._untried = choice, choice.able, None

    def on_cpu(self) -> "CpuEngine":
        """The same points on engines of the CPU, the reference before others, to compare with."""
        return CpuEngine(self)

    def drop(self, name: str, found: str) -> None:
        """Use an engine no more; `found` completes "engine NAME ..."."""
        with self._dropping:
            if name in self._dropped.reasons:
                return
            self._dropped.add(name, found)
            self._told.append(f"engine {name} is dropped: it {found} ({placement_of(name).in_words})")
            log.error("%s", self._told[-1])

    def _held_against(self, name: str, found: str | None) -> bool:
        if found is not None:
            self.drop(name, found)
        return name in self._dropped.reasons

    def _other(self, point: OperatingPoint) -> Variant | None:
        try:
            return self.prepare(point)
        except UnsupportedPoint as error:
            log.error("%s", error)  # noqa: TRY400 - its reason is all there is to know
            return None

    def _engine_for(self, point: OperatingPoint) -> tuple[str, Engine]:
        reasons = []
        for name in dict.fromkeys((self._choice.engines[point.name], *self._others)):
            if name in self._dropped.reasons:
                reasons.append(f"{name} {self._dropped.reasons[name]}")
                continue
            try:
                engine = self.opened(name)
                engine.check(point)
            except UnsupportedPoint as error:
                reasons.append(f"{name}: {error}")
                continue
            return name, engine
        raise UnsupportedPoint(f"{point.name}: no engine is left for it here ({'; '.join(reasons)})")

    def opened(self, name: str) -> Engine:
        """An engine by name, opened once."""
        with self._opening:
            if name not in self._engines:
                self._engines[name] = self._open(name)
            return self._engines[name]

    @property
    def cpu_engines(self) -> tuple[str, ...]:
        """Those on the CPU that are not dropped, the reference first."""
        names = [name for name in self._others if unit_of(name) == CPU]
        return tuple(name for name in sorted(names, key=REFERENCE.__ne__) if name not in self._dropped.reasons)


class CpuEngine:
    """The CPU's side of an AutoEngine: what shadow runs compare with."""

    def __init__(self, auto: AutoEngine) -> None:
        self._auto = auto

    @property
    def name(self) -> str:
        """`cpu`."""
        return CPU

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint where no engine of the CPU runs the point."""
        self._engine_for(point)

    def prepare(self, point: OperatingPoint) -> Variant:
        """Raises UnsupportedPoint as `check` does."""
        return self._engine_for(point).prepare(point)

    def _engine_for(self, point: OperatingPoint) -> Engine:
        for name in self._auto.cpu_engines:
            engine = self._auto.opened(name)
            try:
                engine.check(point)
            except UnsupportedPoint:
                continue
            return engine
        raise UnsupportedPoint(f"{point.name}: no engine of the CPU runs it here")


def known_choice(
    bundle: Bundle, engines: Sequence[str], cache: Cache, spin: bool = False
) -> tuple[Choice, bool] | None:
    """What was found best before, and whether that is settled; None where nothing was tried yet."""
    if len(engines) == 1:
        return _only(bundle, engines[0]), True
    kept = Measurements(cache).kept("choice", _subject(bundle, engines, spin))
    choice = None if kept is None else _parsed(kept[0], engines)
    return None if kept is None or choice is None else (choice, kept[1])


def untried_engine(engines: Sequence[str]) -> str:
    """Who answers before anything was tried: the first on the CPU, since other units are held against it first."""
    return next((name for name in engines if unit_of(name) == CPU), engines[0])


def untried_choice(bundle: Bundle, engines: Sequence[str]) -> Choice:
    """The untried engine's points, and others' where a point is of their arithmetic; that of a CPU's alone."""
    first = untried_engine(engines)
    able = {name for name in engines if name == first or unit_of(name) == CPU}
    chosen, missing = {}, []
    for point in bundle.ladder.points:
        if point.engine == REFERENCE:
            chosen[point.name] = first
        elif point.engine in able:
            chosen[point.name] = point.engine
        else:
            told = "was not tried yet" if point.engine in engines else "is not installed"
            missing.append(f"{point.name}: engine {point.engine} {told}")
    return Choice(chosen, missing, engines)


def make_choice(bundle: Bundle, engines: Sequence[str], cache: Cache, spin: bool = False) -> Choice:
    """What was found best for a bundle on this device, measured now (seconds) unless it is known."""
    losses = {point.name: point.certified_risk for point in bundle.ladder.points}
    if len(engines) == 1:
        return _only(bundle, engines[0])

    def measured(before: dict[str, object] | None) -> Measured:
        log.info("trying %s on this device", ", ".join(engines))
        load = OtherLoad()
        trials = contest(bundle, engines, cache.directory, spin)
        doubt = _doubt(trials, load.share())
        choice = choose(losses, trials)
        found: dict[str, object] = {
            "engines": dict(choice.engines),
            "reasons": list(choice.reasons),
            "able": list(choice.able),
        }
        match before and before.get("engines"):
            case dict(runnable) if doubt and len(runnable) > len(choice.engines):
                # Busier still than the last time.
                return Measured(before or found, doubt)
        return Measured(found, doubt)

    kept = Measurements(cache).value("choice", _subject(bundle, engines, spin), measured)
    choice = _parsed(kept, engines) or choose(losses, contest(bundle, engines, None, spin))
    for reason in choice.reasons:
        log.info("engine for %s", reason)
    return choice


def _only(bundle: Bundle, engine: str) -> Choice:
    names = bundle.ladder.names
    reasons = [f"{name}: {engine}, the only one here" for name in names]
    return Choice(dict.fromkeys(names, engine), reasons, [engine])


def _subject(bundle: Bundle, engines: Sequence[str], spin: bool) -> str:
    return f"{bundle.sha256} {' '.join(engines)}{' spinning' if spin else ''}"


def _parsed(kept: Mapping[str, object], engines: Sequence[str]) -> Choice | None:
    """None for what is no choice among these engines."""
    match kept:
        case {"engines": dict(chosen), "reasons": list(reasons), "able": list(able)} if (
            set(chosen.values()) <= set(able) <= set(engines)
        ):
            return Choice(chosen, reasons, able)
    return None


def _doubt(trials: Sequence[Trial], others_share: float) -> str:
    """Why the trials may end otherwise another time; empty when they will not."""
    late = sorted({trial.engine for trial in trials if trial.late})
    if late:
        return f"the time of {', '.join(late)} was up"
    return f"others used {others_share:.0%} of the processors meanwhile" if others_share > BUSY else ""
