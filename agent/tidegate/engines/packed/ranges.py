"""The ranges of a network's values over the calibration inputs, from which the grids of uint8 values come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tidegate.engines.engine import Array
from tidegate.engines.flight import Flight
from tidegate.engines.network_cache import NetworkCache
from tidegate.engines.packed.builder import ENTRY, Route, Routes
from tidegate.engines.quantization import Range
from tidegate.models.knobs import Knobs
from tidegate.models.ladder import Precision

MAX_INPUTS = 32

Ranges = Mapping[str, Range]


class RangeFinder:
    """Finds ranges by running the network in fp32; `calibration` is asked for inputs once, when first needed."""

    def __init__(self, calibration: Callable[[], Array], cache: NetworkCache) -> None:
        self._calibration = calibration
        self._cache = cache
        self._inputs: Array | None = None
        self._full: dict[str, Ranges] = {}

    def at(self, knobs: Knobs, build: Callable[[Knobs], Routes]) -> Ranges:
        """Range of every value, by network-wide name: those that calibration found, if the knobs bring them.

        Else on the paths that these knobs take: behind a skipped block values can be far larger than in the full
        net.
        What none of those paths computes has the full net's range, and what that doesn't compute either (a
        stand-in whose gate never shut) the range it would have had.
        """
        if knobs.ranges:
            return {name: Range(*span) for name, span in knobs.ranges.items()}
        gates = (
            f"packed {sorted(knobs.thresholds.items())} {knobs.activity} {sorted(knobs.skip)} "
            f"{sorted(knobs.stand_ins.items())} {sorted(knobs.exits)}"
        )
        values = f"{sorted(knobs.activations.items())} {knobs.resolution}"
        return self._cache.ranges(f"{gates} {values}", lambda: self._at(knobs, values, build))

    def _at(self, knobs: Knobs, values: str, build: Callable[[Knobs], Routes]) -> Ranges:
        if values not in self._full:
            ungated = _exact(knobs, thresholds={}, skip=frozenset(), stand_ins={}, exits={})
            self._full[values], _ = self._observed(build(ungated))
        if not (knobs.skip or knobs.thresholds or knobs.exits):
            return self._full[values]
        taken, untaken = self._observed(build(_exact(knobs)))
        return {**untaken, **self._full[values], **taken}

    def _observed(self, routes: Routes) -> tuple[Ranges, Ranges]:
        """Ranges of what ran, and of what would have on the same inputs had the gates decided otherwise."""
        if self._inputs is None:
            self._inputs = self._calibration()[:MAX_INPUTS]
        taken, untaken = _Seen(), _Seen()
        with torch.inference_mode():
            for sample in self._inputs:
                x = routes.enter(torch.tensor(sample[None]))
                taken(ENTRY, x)
                _follow(x, routes.all, taken, untaken)
        return taken.ranges, untaken.ranges


def _follow(x: Tensor, routes: Sequence[Route], taken: "_Seen", untaken: "_Seen") -> None:
    """One sample's way. Nobody leaves by an exit: what lies behind it is for those that don't."""
    flight = Flight(x, ())
    before = None
    for route in routes:
        stage = route.stage
        seen = stage.seen(flight, before)
        runs = True
        if route.head is not None:
            route.head.watched(flight.x, taken)
        for gate in stage.gates:
            verdict = gate.decide(seen)
            if verdict.answers is None:
                runs = bool(verdict.open)
        if stage.is_block:
            flight.previous, before = flight.x.clone(), stage
        way, other = (route.own, route.stand_in) if runs else (route.stand_in, route.own)
        if other is not None:
            other.watched(flight.x.clone(), untaken)
        if way is not None:
            flight.x = way.watched(flight.x, taken)


class _Seen:
    """Gathers the ranges of values by name."""

    def __init__(self) -> None:
        self.ranges: dict[str, Range] = {}

    def __call__(self, name: str, value: Tensor) -> None:
        found = Range(float(value.min()), float(value.max()))
        self.ranges[name] = self.ranges[name].union(found) if name in self.ranges else found


def _exact(knobs: Knobs, **others: object) -> Knobs:
    """The same gates in fp32, with `others` changed."""
    # Knobs are dataclasses, a point's or a search's; the protocol can't say so.
    exact: Knobs = replace(knobs, precision=Precision.FP32, layer_precision={}, **others)  # type: ignore[type-var]
    return exact
