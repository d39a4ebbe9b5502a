"""At which margins samples leave at which exits: all exits of a network set jointly, from what S shows. Pure.

What a sample does at an exit doesn't depend on where other exits stand, so that margins and answers are computed
once, and every cascade (exits with thresholds) can then be counted. For one price of a failure the thresholds are
found by coordinate descent, each step of which is exact; prices from low to high give the whole frontier of time
against failures, at whatever share of failures a certificate asks for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

SWEEPS = 12
"""Of the coordinate descent, at most; it settles within three or four."""

PRICES = 150
"""Prices tried, in equal ratios."""

SHIFTS = (0.8, 0.85, 0.9, 0.94, 0.97, 1.03, 1.06, 1.1, 1.15)
"""Of the samples that leave at each exit, what a cascade's neighbours let leave. Prices find the convex hull of
times and failures only, on which what lies between two sets of exits is missing."""

FRESH_STARTS = 10
"""At every so many prices thresholds are sought from scratch too."""


@dataclass(frozen=True, slots=True)
class ExitOutcomes:
    """One exit as all samples of S (n,) would see it.

    `failure` is how likely each would fail if it left here, 0..1. `before_ms` is the time of everything before the
    exit but the exits themselves, `own_ms` that of its head and its decision, which all who reach it pay.
    """

    block: str
    margins: Values
    failure: Values
    before_ms: float
    own_ms: float


@dataclass(frozen=True, slots=True)
class Cascade:
    """Exits with their thresholds by block; `mean_ms` and `failures` (mean, 0..1) are what S says of them."""

    exits: Mapping[str, float]
    mean_ms: float
    failures: float


def frontier(
    exits: Sequence[ExitOutcomes], whole_ms: float, whole_failure: Values, prices: int = PRICES
) -> tuple[Cascade, ...]:
    """Cascades by falling time and rising failures, none of which another beats; the first has no exits.

    `exits` come in the order in which samples pass them. `whole_failure` (n,) is how likely each sample fails that
    goes to the end, where it takes `whole_ms`.
    """
    whole = Cascade({}, whole_ms, float(whole_failure.mean()))
    orders = tuple(np.argsort(-each.margins, kind="stable") for each in exits)
    # From a failure that costs the whole network's time a thousand times down to one that costs next to nothing.
    problems = [
        _Problem(exits, orders, whole_ms, whole_failure, price)
        for price in whole_ms * np.geomspace(3000, 0.3, prices)
    ]
    found = [whole]
    for problem, thresholds in zip(problems, _best_thresholds(problems), strict=True):
        found += [problem.cascade(each) for each in (thresholds, *_shifted(exits, orders, thresholds))]
    return _undominated(found)


def _best_thresholds(problems: "Sequence[_Problem]") -> list[Values]:
    """Of each price: from scratch at some, from the price before at all, and then from the price behind."""
    exits = len(problems[0].exits)
    scratch = [np.full(exits, np.inf), *_single_exits(exits)]
    # Whichever exit is set first takes samples that another would have taken at less risk.
    forward, backward = range(exits), range(exits)[::-1]
    best = [scratch[0]] * len(problems)
    for turn, problem in enumerate(problems):
        tried = [problem.descended(best[max(turn - 1, 0)], backward)]
        if turn % FRESH_STARTS == 0:
            tried += [problem.descended(start, order) for start in scratch for order in (backward, forward)]
        best[turn] = min(tried, key=problem.cost)
    for turn in reversed(range(len(problems) - 1)):
        tried = [best[turn], problems[turn].descended(best[turn + 1], backward)]
        best[turn] = min(tried, key=problems[turn].cost)
    return best


@dataclass(frozen=True, slots=True)
class _Problem:
    """Least mean of time plus price times failure; a threshold of infinity leaves its exit out.

    `orders` are the samples of each exit by falling margin.
    """

    exits: Sequence[ExitOutcomes]
    orders: Sequence[npt.NDArray[np.intp]]
    whole_ms: float
    whole_failure: Values
    price: float

    def descended(self, start: Values, order: Sequence[int]) -> Values:
        thresholds = start.copy()
        for _ in range(SWEEPS):
            before = thresholds.copy()
            for index in order:
                thresholds[index] = self._best_threshold(index, thresholds)
            if np.array_equal(before, thresholds):
                break
        return thresholds

    def cost(self, thresholds: Values) -> float:
        return float(self._cost_from(0, thresholds).mean())

    def cascade(self, thresholds: Values) -> Cascade:
        time = replace(self, price=0.0).cost(thresholds)
        failures = (self.cost(thresholds) - time) / self.price
        chosen = {
            each.block: float(threshold)
            for each, threshold in zip(self.exits, thresholds, strict=True)
            if np.isfinite(threshold)
        }
        return Cascade(chosen, time, failures)

    def _cost_from(self, first: int, thresholds: Values) -> Values:
        """Per sample, of whoever has come past all exits before the `first`."""
        cost = self.whole_ms + self.price * self.whole_failure
        for each, threshold in zip(reversed(self.exits[first:]), thresholds[first:][::-1], strict=True):
            if np.isfinite(threshold):
                leaving = each.before_ms + self.price * each.failure
                cost = each.own_ms + np.where(each.margins > threshold, leaving, cost)
        return cost

    def _best_threshold(self, index: int, thresholds: Values) -> float:
        """Of one exit with all others as they are: exact for the samples that arrive."""
        exit_ = self.exits[index]
        arriving = np.ones(len(exit_.margins), np.bool_)
        for earlier, threshold in zip(self.exits[:index], thresholds[:index], strict=True):
            arriving &= earlier.margins <= threshold
        if not arriving.any():
            return float(thresholds[index])
        order = self.orders[index][arriving[self.orders[index]]]
        margins = exit_.margins[order]
        staying = self._cost_from(index + 1, thresholds)[order]
        gains = np.cumsum(staying - exit_.before_ms - self.price * exit_.failure[order])
        # Samples of one margin leave together, and those without any never.
        cuts = np.flatnonzero(np.append(margins[:-1] > margins[1:], True) & (margins > 0))
        if len(cuts) == 0:
            return np.inf
        best = cuts[np.argmax(gains[cuts])]
        if gains[best] <= exit_.own_ms * len(order):
            return np.inf
        return _below(margins, int(best))


def _shifted(
    exits: Sequence[ExitOutcomes], orders: Sequence[npt.NDArray[np.intp]], thresholds: Values
) -> Iterator[Values]:
    """Thresholds of the same exits, by which fewer samples leave at each, and by which more do."""
    leaving = [int((each.margins > threshold).sum()) for each, threshold in zip(exits, thresholds, strict=True)]
    for share in SHIFTS:
        shifted = thresholds.copy()
        for index, (each, order, count) in enumerate(zip(exits, orders, leaving, strict=True)):
            last = min(round(share * count), int((each.margins > 0).sum())) - 1
            if np.isfinite(thresholds[index]):
                shifted[index] = np.inf if last < 0 else _below(each.margins[order], last)
        yield shifted


def _below(margins: Values, last: int) -> float:
    """A threshold that the margins, falling, exceed up to the `last`: halfway to the next."""
    if last + 1 < len(margins):
        return float((margins[last] + margins[last + 1]) / 2)
    return float(max(0.0, np.nextafter(np.float32(margins[last]), np.float32(0))))


def _single_exits(count: int) -> list[Values]:
    """Starts at which one exit takes everybody, so that no exit is hidden by the others' absence."""
    return [np.where(np.arange(count) == index, 0.0, np.inf) for index in range(count)]


def _undominated(cascades: Sequence[Cascade]) -> tuple[Cascade, ...]:
    kept: list[Cascade] = []
    for each in sorted(cascades, key=lambda cascade: (cascade.failures, cascade.mean_ms)):
        if not kept or each.mean_ms < kept[-1].mean_ms:
            kept.append(each)
    return tuple(kept)


def thinned(cascades: Sequence[Cascade], ratio: float) -> tuple[Cascade, ...]:
    """Only those that take less than this share of the time of the one kept before, and the last."""
    *others, last = cascades
    kept: list[Cascade] = []
    for each in others:
        if not kept or each.mean_ms < ratio * kept[-1].mean_ms:
            kept.append(each)
    return (*kept, last)
