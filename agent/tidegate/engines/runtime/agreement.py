"""Whether an engine answers as the CPU does: counted on the bundle's samples, certified by an exact test. Pure.

Canaries are few and have clear margins, so an engine that is wrong on a share of the inputs may pass them all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import REFERENCE, Array
from tidegate.engines.runtime.choice import Trial
from tidegate.engines.runtime.placement import CPU, Placement
from tidegate.engines.runtime.runtimes import FORMS
from tidegate.models.comparing import Mask, differ
from tidegate.models.exact_test import binomial_cdf, samples_needed, upper_bound
from tidegate.models.ladder import Compared, Comparison, Ladder, OperatingPoint

TOLERANCE = 1e-3
"""Largest difference of an output that sums in another order explain, as a share of the largest output: engines
agree to 1e-4 in the same arithmetic."""

HALF_TOLERANCE = 0.02
"""The same for an engine that computes in fp16: our networks came out at a tenth of that."""

LIMIT = 0.03
"""The largest share of inputs that may be answered apart from the CPU. A gate whose score lies at its threshold
takes another way on another engine, so that it can't be 0."""

DELTA = 0.05
"""One minus the confidence of a certificate of agreement."""

REFUTED = 0.01
"""How unlikely a point's disagreements with the full model must be under its certificate to refute it here."""

Answers = Mapping[tuple[str, str], Array]
"""Outputs on the samples (n, *output shape) by engine and point; n may differ, the first samples are the same."""


@dataclass(frozen=True, slots=True)
class PlacementCertificate:
    """At most `alpha` of all inputs are answered apart from the CPU, with confidence 1 - DELTA.

    Counted as `apart` on `n` samples against `reference`. It holds for this placement, versions included.
    """

    placement: Placement
    reference: Placement
    n: int
    apart: int

    @property
    def alpha(self) -> float:
        """The bound."""
        return upper_bound(self.apart, self.n, DELTA)

    @property
    def holds(self) -> bool:
        """Whether the bound is within LIMIT; where so few samples can't show that, whether none is apart."""
        return self.alpha <= LIMIT or (self.apart == 0 and self.n < samples_needed(LIMIT, DELTA))

    @property
    def in_words(self) -> str:
        """For the log and for errors."""
        return (
            f"{self.apart} of {self.n} samples apart from {self.reference.engine} on {self.reference.unit}:"
            f" at most {self.alpha:.1%} on {self.placement.in_words}"
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """Trials with those taken out that are not to be believed, and what is certified of the others by engine."""

    trials: Sequence[Trial]
    certificates: Mapping[str, PlacementCertificate]


def tolerance_of(engine: str) -> float:
    """How far off an engine's outputs may be in the reference's arithmetic, as a share of the largest."""
    return (
        HALF_TOLERANCE if engine == "mps-fp16" or FORMS.get(engine, engine) in {"coreml", "coreai"} else TOLERANCE
    )


def answered_apart(comparison: Comparison, reference: Array, found: Array, tolerance: float = TOLERANCE) -> Mask:
    """Per sample whether the answer is another one, or an output is further off than that, or is no number.

    Both arrays (samples, *output shape), in the same arithmetic.
    """
    off = np.abs(found - reference).reshape(len(reference), -1).max(1)
    # NaN is within nothing.
    within = off <= tolerance * np.abs(reference).max()
    if comparison.kind is Compared.OWN:
        return np.asarray(~within)
    return np.asarray(~within | differ(comparison, reference, found))


def judge(
    ladder: Ladder,
    comparison: Comparison,
    placements: Mapping[str, Placement],
    trials: Sequence[Trial],
    answers: Answers,
) -> Judged:
    """Takes engines out that answer apart from the CPU, and points that their certificate does not hold for here.

    All that run points of the reference's arithmetic are compared in it; one that lies there is believed nowhere.
    The engine to compare with is the CPU's that most others agree with; of several the reference itself, then the
    first in the order of `placements`.
    """
    shared = [point for point in ladder.points if point.engine == REFERENCE]
    reference = _reference(shared, comparison, placements, answers)
    if reference is None:
        return Judged(trials, {})
    certificates = {
        name: certificate
        for name in placements
        if name != reference
        and (certificate := _certificate(shared, comparison, placements, answers, name, reference)) is not None
    }
    believed = [
        replace(trial, latency_ms=None, reason=f"is not believed: {certificate.in_words}")
        if (certificate := certificates.get(trial.engine)) is not None and not certificate.holds
        else _held_to_its_certificate(trial, ladder, comparison, answers, reference)
        for trial in trials
    ]
    return Judged(believed, {name: each for name, each in certificates.items() if each.holds})


def _reference(
    shared: Sequence[OperatingPoint],
    comparison: Comparison,
    placements: Mapping[str, Placement],
    answers: Answers,
) -> str | None:
    """None where there are no two to compare."""
    names = [name for name in placements if any((name, point.name) in answers for point in shared)]

    def agree(name: str) -> int:
        found = (
            _certificate(shared, comparison, placements, answers, other, name) for other in names if other != name
        )
        return sum(certificate is not None and certificate.holds for certificate in found)

    on_cpu = [name for name in sorted(names, key=REFERENCE.__ne__) if placements[name].unit == CPU]
    return max(on_cpu, key=agree) if on_cpu and len(names) > 1 else None


def _certificate(
    shared: Sequence[OperatingPoint],
    comparison: Comparison,
    placements: Mapping[str, Placement],
    answers: Answers,
    name: str,
    reference: str,
) -> PlacementCertificate | None:
    """Of the point at which most samples are apart: one sample counts once, however many points there are."""
    worst: PlacementCertificate | None = None
    for point in shared:
        own, cpu = answers.get((name, point.name)), answers.get((reference, point.name))
        if own is None or cpu is None:
            continue
        n = min(len(own), len(cpu))
        if n and own.shape[1:] == cpu.shape[1:]:
            apart = int(answered_apart(comparison, cpu[:n], own[:n], tolerance_of(name)).sum())
            found = PlacementCertificate(placements[name], placements[reference], n, apart)
            worst = found if worst is None or found.alpha > worst.alpha else worst
    return worst


def _held_to_its_certificate(
    trial: Trial, ladder: Ladder, comparison: Comparison, answers: Answers, reference: str
) -> Trial:
    """A point of an engine's own arithmetic: it has no equal, but its certificate bounds what it may disagree."""
    point = ladder.points[ladder.rung(trial.point)]
    bound = None if point.engine == REFERENCE else _allowed(point)
    own, full = answers.get((trial.engine, trial.point)), answers.get((reference, ladder.full.name))
    if trial.latency_ms is None or bound is None or own is None or full is None or comparison.kind is Compared.OWN:
        return trial
    n = min(len(own), len(full))
    disagreed = int((differ(comparison, full[:n], own[:n]) | ~_finite(own[:n])).sum())
    if disagreed == 0 or 1 - binomial_cdf(disagreed - 1, n, bound) > REFUTED:
        return trial
    told = (
        f"is not believed: disagrees with the full model on {disagreed} of {n} samples, certified are {bound:.1%}"
    )
    return replace(trial, latency_ms=None, reason=told)


def _allowed(point: OperatingPoint) -> float | None:
    """The share of inputs on which it may disagree: newly wrong ones, and those found harmless at calibration."""
    certificate = point.certificate
    if certificate is None:
        return None
    return min(0.999, certificate.alpha + certificate.harmless(point.figures)) or None


def _finite(outputs: Array) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(outputs).reshape(len(outputs), -1).all(1))
