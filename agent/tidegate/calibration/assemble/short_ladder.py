"""Why a ladder saves little, and what would help: a sentence for whoever built it. Pure."""

from dataclasses import dataclass
from statistics import median

from tidegate.calibration.measure.exit_times import ExitTimes

SHORT = 0.8
"""Of the time of the last point that runs all of the network: where the cheapest certified one takes more."""

DEAR = 0.05
"""Of the network's time: what an exit may take before it is the reason."""

UNFORESEEN = 2.0
"""Times the failures that S foresaw, from where on S was too small to foresee them."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The first step that got no certificate: the share that failed on C, and that S foresaw."""

    foreseen: float
    failed: float


@dataclass(frozen=True, slots=True)
class LadderEnd:
    """How a chain ended on one engine: `time_ratio` is that of its cheapest certified point to its beginning.

    `times` is None where exits were not timed. `uncertifiable` has alphas out of reach, with the inputs they need.
    """

    engine: str
    time_ratio: float
    times: ExitTimes | None
    rejected: Rejected | None
    search_inputs: int
    certify_inputs: int
    alphas: tuple[float, ...]
    uncertifiable: tuple[tuple[float, int], ...]


def why_short(end: LadderEnd) -> str | None:
    """None for a ladder that saves a fifth and more."""
    if end.time_ratio <= SHORT:
        return None
    told = f"{end.engine}: the cheapest certified point saves {max(1 - end.time_ratio, 0):.0%} of the time"
    return f"{told}: {_reason(end)}"


def _reason(end: LadderEnd) -> str:
    if len(end.uncertifiable) == len(end.alphas):
        alpha, needed = end.uncertifiable[-1]
        return (
            f"no loss up to {alpha:.1%} can be certified with {end.certify_inputs} inputs, even if none fails; "
            f"{needed} are needed for that, and several times as many for points at which some do"
        )
    if end.times is None or not end.times.exits:
        return (
            "no sample can leave early, since the network has no exit that this engine runs (one stands where a "
            "single value crosses, and compares two answers or more); the points in 8 bits are what there is to "
            "gain"
        )
    own_ms = median(each.own_ms for each in end.times.exits.values())
    if own_ms > DEAR * end.times.whole_ms:
        return (
            f"an exit takes {own_ms * 1e3:.0f} us and the whole network {end.times.whole_ms * 1e3:.0f}: so small "
            "a network gains little by adapting; another engine (--engine) may have cheaper exits"
        )
    if end.rejected is not None and end.rejected.failed > UNFORESEEN * end.rejected.foreseen:
        return (
            f"{end.rejected.failed:.1%} failed where {end.search_inputs} inputs to search on foresaw "
            f"{end.rejected.foreseen:.1%}; more inputs help both to fit exits and to foresee"
        )
    return (
        f"within the losses to certify (up to {end.alphas[-1]:.1%}) too few samples can be answered early; "
        "more inputs to fit exits on, or earlier layers that tell more, would help"
    )
