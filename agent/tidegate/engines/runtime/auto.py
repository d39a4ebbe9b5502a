"""The engine `auto`: for every operating point the engine that was measured to be best on this device."""

import logging
from collections.abc import Callable, Sequence

from tidegate.engines.engine import Engine, UnsupportedPoint, Variant
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.choice import Choice, Trial, choose
from tidegate.engines.runtime.measured import Measured, Measurements
from tidegate.engines.runtime.other_load import BUSY, OtherLoad
from tidegate.engines.runtime.trials import contest
from tidegate.models.bundle import Bundle
from tidegate.models.ladder import OperatingPoint

log = logging.getLogger(__name__)

NAME = "auto"


class AutoEngine:
    """Hands each point to its engine; an engine is opened when the first point of its own is prepared."""

    def __init__(self, choice: Choice, opener: Callable[[str], Engine]) -> None:
        self._choice = choice
        self._open = opener
        self._engines: dict[str, Engine] = {}

    @property
    def name(self) -> str:
        """`auto` and the engines behind it: `auto (eager, onnx)`."""
        return f"{NAME} ({', '.join(sorted(set(self._choice.engines.values())))})"

    def check(self, point: OperatingPoint) -> None:
        """Raises UnsupportedPoint for a point that has no engine here."""
        if point.name not in self._choice.engines:
            told = [reason for reason in self._choice.reasons if reason.startswith(f"{point.name}:")]
            raise UnsupportedPoint("; ".join(told) or f"{point.name} was not tried on this device")

    def prepare(self, point: OperatingPoint) -> Variant:
        """Raises UnsupportedPoint for a point that has no engine here."""
        self.check(point)
        name = self._choice.engines[point.name]
        if name not in self._engines:
            self._engines[name] = self._open(name)
        return self._engines[name].prepare(point)


def make_choice(bundle: Bundle, engines: Sequence[str], cache: Cache, spin: bool = False) -> Choice:
    """What was found best for a bundle on this device, measured now (seconds) unless it is known."""
    losses = {point.name: point.certified_risk for point in bundle.ladder.points}
    if len(engines) == 1:
        return Choice(
            dict.fromkeys(losses, engines[0]), [f"{name}: {engines[0]}, the only one here" for name in losses]
        )

    def measured(before: dict[str, object] | None) -> Measured:
        log.info("trying %s on this device", ", ".join(engines))
        load = OtherLoad()
        trials = contest(bundle, engines, cache.directory, spin)
        doubt = _doubt(trials, load.share())
        choice = choose(losses, trials)
        found: dict[str, object] = {"engines": dict(choice.engines), "reasons": list(choice.reasons)}
        match before and before.get("engines"):
            case dict(runnable) if doubt and len(runnable) > len(choice.engines):
                # Busier still than the last time.
                return Measured(before or found, doubt)
        return Measured(found, doubt)

    subject = f"{bundle.sha256} {' '.join(engines)}{' spinning' if spin else ''}"
    kept = Measurements(cache).value("choice", subject, measured)
    match kept:
        case {"engines": dict(chosen), "reasons": list(reasons)} if set(chosen.values()) <= set(engines):
            choice = Choice(chosen, reasons)
        case _:
            choice = choose(losses, contest(bundle, engines, None, spin))
    for reason in choice.reasons:
        log.info("engine for %s", reason)
    return choice


def _doubt(trials: Sequence[Trial], others_share: float) -> str:
    """Why the trials may end otherwise another time; empty when they will not."""
    late = sorted({trial.engine for trial in trials if trial.late})
    if late:
        return f"the time of {', '.join(late)} was up"
    return f"others used {others_share:.0%} of the processors meanwhile" if others_share > BUSY else ""
