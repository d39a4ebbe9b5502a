"""One trained network through AdaptiveActivation: baselines, the greedy path, certificates, the optimum."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tidegate.calibration.certify.certification import certify
from tidegate.calibration.certify.risk import newly_wrong
from tidegate.calibration.fit.activation_statistics import collect_statistics, sampled, uniform
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.tracing import Trace, Tracer
from tidegate.models.ladder import Certificate, Precision
from tidegate_bench.adaptive_activation.knobs import (
    Choice,
    Knob,
    activation_knobs,
    coarse_knobs,
    memory_knobs,
    uniform_int8,
)
from tidegate_bench.adaptive_activation.problem import Adaptive, Cost, Data, activation_cost, memory_cost
from tidegate_bench.adaptive_activation.selection import Selection, exhaustive, greedy
from tidegate_bench.adaptive_activation.zoo_on_digits import Trained
from tidegate_bench.figures import Cell
from tidegate_bench.progress import Progress

ALPHA = 0.015
DELTA = 0.05
TARGETS = (0.10, 0.20, 0.30, 0.38, 0.45)
"""Reductions asked for, against uniform int8 with the same encoding: the paper's range of 10-38 % and beyond."""

UNIFORM_ZERO_SHARES = (0.25, 0.5, 0.75, 0.9)
OPTIMUM_MODEL = "lenet"
"""Small enough that all combinations of its coarse knobs can be tried."""

OPTIMUM_TARGET = 0.3
_OPTIMUM_INPUTS = 100
_QUICK_INPUTS = 80

Row = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Study:
    """Rows of the table, the largest certified reduction, and how far greedy was from the optimum where tried."""

    rows: tuple[Row, ...]
    certified_reduction: float | None
    optimum_gap_kl: float | None


@dataclass(frozen=True, slots=True)
class _Path:
    """Settings of the greedy path with their certificates and their traces on the search part."""

    settings: tuple[KnobSettings, ...]
    certificates: tuple[Certificate | None, ...]
    selection: Selection


class AdaptiveStudy:
    """Everything is against the network's own fp32 answers.

    In the rows, `vs_*` are shares by which weights resident plus encoded live activations are smaller than those
    of fp32, of uniform int8 with the same encoding, and of uniform int8 with dense activations.
    """

    def __init__(self, model: str, trained: Trained, quick: bool, progress: Progress) -> None:
        self._model = model
        self._trained = trained
        self._quick = quick
        self._progress = progress
        self._tracer = Tracer(trained.network)
        count = _QUICK_INPUTS if quick else len(trained.search.labels)
        self._search = Data(sampled(trained.search.inputs, count), sampled(trained.search.labels, count))
        self._statistics = dict(collect_statistics(self._tracer, self._search.inputs))
        self._full = {
            part: self._tracer.trace(KnobSettings(), samples.inputs)
            for part, samples in (("certify", trained.certify), ("report", trained.report))
        }
        self._int8 = self._report(uniform_int8(self._statistics))

    def run(self) -> Study:
        """Search on S, certify on C, report on V."""
        path = self._path(memory_knobs(self._trained.network.segments, self._statistics), memory_cost)
        alone = self._path(activation_knobs(self._statistics), activation_cost)
        cheapest = self._cheapest("greedy, cheapest certified", path)
        rows = [
            *self._baselines(),
            *self._targets(path),
            *cheapest,
            *self._cheapest("greedy on activations alone, cheapest certified", alone),
        ]
        found = cheapest[0].get("vs_int8")
        reduction = found if isinstance(found, float) else None
        gap = None
        if self._model == OPTIMUM_MODEL:
            optimum_rows, gap = self._optimum()
            rows.extend(optimum_rows)
        return Study(tuple(rows), reduction, gap)

    def _cheapest(self, method: str, path: _Path) -> list[Row]:
        """The last certified point of a path; each path is a test of its own at delta."""
        best = max((index for index, found in enumerate(path.certificates) if found is not None), default=None)
        if best is None:
            return [self._missed(method, "-", "none certified")]
        return [self._row(method, path.settings[best], _verdict(path.certificates[best]))]

    def _path(self, knobs: Sequence[Knob], cost: Cost) -> _Path:
        reference = self._tracer.trace(KnobSettings(), self._search.inputs).outputs
        problem = Adaptive(
            self._tracer, Choice(uniform_int8(self._statistics)), knobs, self._search, reference, cost
        )
        self._progress(f"{self._model}: greedy over {len(knobs)} knobs")
        selection = greedy(problem, target_cost=0, max_risk=ALPHA)
        settings = tuple(problem.choice(step.positions).setting for step in selection.path)
        self._progress(f"{self._model}: {len(settings)} points, {selection.rolled_back} moves rolled back")
        part = self._trained.certify
        full = self._full["certify"].outputs
        failures = [
            int(newly_wrong(full, self._tracer.trace(setting, part.inputs).outputs, part.labels).sum())
            for setting in settings
        ]
        found = certify(failures, len(part.labels), [ALPHA], DELTA)
        return _Path(settings, found.certificates, selection)

    def _baselines(self) -> Iterator[Row]:
        eight = uniform(self._statistics, 8)
        four = uniform(self._statistics, 4)
        yield self._row("fp32", KnobSettings())
        yield self._row("uniform int8", uniform_int8(self._statistics))
        yield self._row("uniform int4 weights, 8 bit", KnobSettings(precision=Precision.INT4, activations=eight))
        yield self._row("uniform int4 weights, 4 bit", KnobSettings(precision=Precision.INT4, activations=four))
        for share in UNIFORM_ZERO_SHARES:
            activations = uniform(self._statistics, 8, share)
            setting = KnobSettings(precision=Precision.INT8, activations=activations)
            yield self._row(f"uniform sparsity, {share:.0%} more zeros", setting)

    def _targets(self, path: _Path) -> Iterator[Row]:
        start = path.selection.path[0].trial.cost
        for target in TARGETS:
            step = path.selection.reaching(start * (1 - target))
            if step is None:
                yield self._missed("greedy", target, "infeasible")
                continue
            index = path.selection.path.index(step)
            yield self._row("greedy", path.settings[index], _verdict(path.certificates[index]), target)

    def _optimum(self) -> tuple[list[Row], float | None]:
        """Greedy and all combinations on the same few coarse knobs and the same target."""
        inputs = sampled(self._search.inputs, _OPTIMUM_INPUTS)
        reference = self._tracer.trace(KnobSettings(), inputs).outputs
        data = Data(inputs, None if self._search.labels is None else sampled(self._search.labels, _OPTIMUM_INPUTS))
        knobs = coarse_knobs(self._trained.network.segments, self._statistics)
        problem = Adaptive(self._tracer, Choice(uniform_int8(self._statistics)), knobs, data, reference)
        target = problem.measure((0,) * len(knobs)).cost * (1 - OPTIMUM_TARGET)
        reached, optimum = greedy(problem, target, 1.0).reaching(target), exhaustive(problem, target, 1.0)
        rows: list[Row] = []
        for method, step in (("coarse greedy", reached), ("coarse optimum, exhaustive", optimum)):
            if step is None:
                rows.append(self._missed(method, OPTIMUM_TARGET, "infeasible"))
                continue
            verdict = f"KL {step.trial.loss:.5f} on {len(inputs)} inputs"
            rows.append(self._row(method, problem.choice(step.positions).setting, verdict, OPTIMUM_TARGET))
        gap = None if reached is None or optimum is None else reached.trial.loss - optimum.trial.loss
        return rows, gap

    def _report(self, setting: KnobSettings) -> Trace:
        return self._tracer.trace(setting, self._trained.report.inputs)

    def _missed(self, method: str, target: Cell, verdict: str) -> Row:
        return {"model": self._model, "method": method, "target": target, "verdict": verdict}

    def _row(self, method: str, setting: KnobSettings, verdict: str = "baseline", target: Cell = "-") -> Row:
        report, full = self._trained.report, self._full["report"]
        trace = self._report(setting)
        int8_dense = self._int8.weights_resident_bytes + self._int8.peak_live_dense_bytes
        return {
            "model": self._model,
            "method": method,
            "target": target,
            "verdict": verdict,
            "vs_int8": 1 - trace.model_bytes / self._int8.model_bytes,
            "vs_dense_int8": 1 - trace.model_bytes / int8_dense,
            "vs_fp32": 1 - trace.model_bytes / full.model_bytes,
            "activations_vs_int8": 1 - trace.peak_live_encoded_bytes / self._int8.peak_live_encoded_bytes,
            "weights_resident_bytes": trace.weights_resident_bytes,
            "peak_live_dense_bytes": trace.peak_live_dense_bytes,
            "peak_live_encoded_bytes": trace.peak_live_encoded_bytes,
            "accuracy": float((trace.outputs.argmax(1) == report.labels).mean()),
            "newly_wrong": float(newly_wrong(full.outputs, trace.outputs, report.labels).mean()),
        }


def _verdict(certificate: Certificate | None) -> str:
    if certificate is None:
        return "not certified"
    return f"certified {certificate.alpha:.1%} ({certificate.failures} of {certificate.n})"
