"""The rungs of one engine: the chain's settings made its own, certified on C, picked, and measured on V."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tidegate.calibration.assemble.chains import ChosenChain
from tidegate.calibration.assemble.checkpoint import Checkpoint
from tidegate.calibration.assemble.plan import Plan
from tidegate.calibration.assemble.rung_choice import RungCost, name_point, pick_rungs, undominated
from tidegate.calibration.assemble.short_ladder import LadderEnd, Rejected, why_short
from tidegate.calibration.candidate import candidate, has_reduced_precision
from tidegate.calibration.certify.certification import Certification, certify, reachable
from tidegate.calibration.certify.outcomes import Outcomes
from tidegate.calibration.data.passes import forward_all
from tidegate.calibration.data.split import Split
from tidegate.calibration.fit.activation_statistics import sampled
from tidegate.calibration.fit.histogram_observer import HistogramObserver
from tidegate.calibration.fit.threshold_calibration import Stops, stops_on_reference, with_calibrated_thresholds
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.measure.cpu_time import turn_times_ms
from tidegate.calibration.measure.energy import ROUNDS, Meter, measure_energy
from tidegate.calibration.measure.figures import PreparedPoint, measure_figures
from tidegate.calibration.measure.latency import fastest_threads
from tidegate.calibration.measure.live_bytes import INPUTS as LIVE_INPUTS
from tidegate.calibration.measure.live_bytes import with_live_bytes
from tidegate.calibration.progress import Progress
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.cost import CostModel
from tidegate.calibration.search.goal import Goal, Knob
from tidegate.calibration.search.moves import CascadeMove, PrecisionMove
from tidegate.calibration.target_engine import TargetEngine
from tidegate.engines.engine import REFERENCE, Engine, UnsupportedPoint
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.tracing import Tracer
from tidegate.models.bundle.evidence import scaled
from tidegate.models.exact_test import holds
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Certificate, OperatingPoint
from tidegate.models.network import TrainedNetwork, body_segments

STEP_WORTH_TESTING = 0.98
"""A setting that costs more than this share of the last one tested is passed over: testing it would take as long
as any other, and every test is one more at which the sequence may end."""


RUN_INPUTS = 1000
"""Of part S, that ranges and thresholds of every point are measured on."""

RUNG_TURNS = 60
"""In which rungs are timed: of 20 beside other load, the sign test dropped a cheaper rung of a ResNet-20."""


@dataclass(frozen=True, slots=True)
class Rungs:
    """Points of one engine, full first and then by falling cost; where they save little, `short` says why."""

    points: tuple[OperatingPoint, ...]
    short: str | None


@dataclass(frozen=True, slots=True)
class _Tested:
    """One setting as an engine runs it, with the step of the chain that it came from."""

    step: ChainStep
    setting: KnobSettings


class LadderBuilder:
    """Builds rungs from one chain; `engines` is how many engines share the plan's delta.

    The `observer` has seen S.

    `earlier` holds what an interrupted calibration had counted on C. Without a `meter` no energy is measured.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        observer: HistogramObserver,
        chosen: ChosenChain,
        split: Split,
        scale: float,
        plan: Plan,
        engines: int,
        earlier: Checkpoint | None = None,
        meter: Meter | None = None,
    ) -> None:
        self._network = network
        self._chain = _worth_testing(chosen.steps, plan)
        self._times = chosen.times
        self._split = split
        self._scale = scale
        self._plan = plan
        self._engines = engines
        self._earlier = earlier
        self._meter = meter
        self._search_inputs = scaled(split.search.inputs[:RUN_INPUTS], scale)
        self._observer = observer
        # By place in the chain: what S shows is the same for all engines.
        self._on_reference: dict[int, tuple[KnobSettings, Stops]] = {}
        self._reference = EagerEngine(network)
        self._tracer = Tracer(network)
        self._live_inputs = sampled(scaled(split.report.inputs, scale), LIVE_INPUTS)

    def rungs(self, target: TargetEngine, progress: Progress) -> Rungs:
        """Certified and measured points for one engine.

        Settings that the engine can't run are left out, and `progress` is told why.
        """
        engine = target.over(self._network)
        tested, counts = self._tested(target, engine, progress)
        certification = self._certify(counts, progress)
        chosen = self._picked(tested, certification)
        settings = [tested[index].setting for index in chosen]
        progress(f"{target.name}: {len(chosen)} of {len(tested)} points become rungs; measuring them")
        certificates = [certification.certificates[index] for index in chosen]
        points = self._measured(target, engine, settings, certificates, progress)
        return Rungs(points, why_short(self._end(target, tested, counts, certification)))

    def _end(
        self, target: TargetEngine, tested: Sequence[_Tested], counts: Sequence[int], certification: Certification
    ) -> LadderEnd:
        n, certified = len(self._split.certify), sum(each is not None for each in certification.certificates)
        last = tested[certified - 1].step.cost
        rejected = tested[certified] if certified < len(tested) else None
        return LadderEnd(
            target.name,
            last.flops_ratio if last.time_ratio is None else last.time_ratio,
            self._times,
            None if rejected is None else Rejected(rejected.step.disagreement, counts[certified - 1] / n),
            len(self._split.search),
            n,
            tuple(self._plan.alphas),
            certification.not_certifiable,
        )

    def _tested(
        self, target: TargetEngine, engine: Engine, progress: Progress
    ) -> tuple[tuple[_Tested, ...], list[int]]:
        """The chain's settings as the engine runs them, full first, and the failures on C of all the others.

        Down to where the sequence of the largest alpha ends: what lies below could get no certificate any more.
        """
        plan, part = self._plan, self._split.certify
        threads = self._threads(target, engine, progress)
        kept = None if self._earlier is None else self._earlier.failures(target.identity, len(part))
        full, *below = self._chain
        first = _Tested(full, replace(full.setting, threads=threads))
        outcomes = Outcomes(
            engine, candidate(first.setting, target.name), part, self._scale, plan.objective.risk, kept
        )
        tested, counts = [first], list[int]()
        refused: dict[str, None] = {}
        for done, step in enumerate(below, 1):
            try:
                setting = replace(self._settings_for(target, done), threads=threads)
                failures = int(outcomes.failed(candidate(setting, target.name)).sum())
            except UnsupportedPoint as error:
                refused[str(error)] = None
                continue
            tested.append(_Tested(step, setting))
            counts.append(failures)
            progress(
                f"{target.name}: {step.move}: {failures} of {len(part)} inputs fail",
                share=done / len(self._chain),
            )
            if not holds(failures, len(part), plan.alphas[-1], self._share_of_delta):
                break
        for reason in refused:
            progress(f"{target.name}: left out: {reason}")
        return tuple(tested), counts

    def _threads(self, target: TargetEngine, engine: Engine, progress: Progress) -> int:
        if Knob.THREADS not in self._plan.knobs:
            return 1
        threads = fastest_threads(engine, candidate(self._chain[0].setting, target.name), self._search_inputs)
        progress(f"{target.name}: fastest with {threads} threads")
        return threads

    def _settings_for(self, target: TargetEngine, index: int) -> KnobSettings:
        """The chain's setting with the engine's own ranges and thresholds. Raises UnsupportedPoint."""
        setting = self._chain[index].setting
        # A cascade has them already: it was sought on the engine's own answers.
        cascade = isinstance(self._chain[index].move, CascadeMove)
        if cascade or target.name == REFERENCE or not has_reduced_precision(setting):
            return setting
        if index not in self._on_reference:
            ranged = replace(setting, ranges=self._observer.ranges(setting))
            self._on_reference[index] = ranged, stops_on_reference(self._network, ranged, self._search_inputs)
        ranged, stops = self._on_reference[index]
        return with_calibrated_thresholds(self._network, ranged, self._search_inputs, target, stops)

    @property
    def _share_of_delta(self) -> float:
        """What each alpha of each engine may use of delta, at first."""
        delta = self._plan.delta / self._engines
        return delta / max(len(reachable(self._plan.alphas, len(self._split.certify), delta)), 1)

    def _certify(self, counts: Sequence[int], progress: Progress) -> Certification:
        """Certificates on part C; the first setting is the full model, which loses nothing."""
        plan, n = self._plan, len(self._split.certify)
        kind = plan.objective.risk.kind
        found = certify(counts, n, plan.alphas, plan.delta / self._engines, kind)
        for alpha, needed in found.not_certifiable:
            progress(f"alpha {alpha:.1%} is not certifiable with {n} samples, it needs {needed}")
        # With their shares of delta the certificates of all engines hold at once with the whole of it.
        shared = (None if each is None else replace(each, delta=plan.delta) for each in found.certificates)
        return Certification((Certificate(kind, 0.0, plan.delta, n, 0), *shared), found.not_certifiable)

    def _picked(self, tested: Sequence[_Tested], certification: Certification) -> tuple[int, ...]:
        alphas = [None if found is None else found.alpha for found in certification.certificates]
        costs = [self._plan.objective.cost(each.step.cost) for each in tested]
        # What is certified is the sequence's beginning, so that indices among them are those of the sequence.
        certified = [each.setting for each, alpha in zip(tested, alphas, strict=True) if alpha is not None]
        intermediate = frozenset(
            index for index, after in enumerate(tested[1:]) if isinstance(after.step.move, PrecisionMove)
        )
        always = _precisions_only(certified) | self._target_met(tested[: len(certified)])
        return pick_rungs(alphas, costs, intermediate, always=always)

    def _target_met(self, certified: Sequence[_Tested]) -> frozenset[int]:
        """The first point within a target for memory, the one target that can be counted before it is measured."""
        wanted = self._plan.target
        if wanted is None or wanted.goal is not Goal.MEMORY:
            return frozenset()
        limit = wanted.limit_from(self._tracer.held(KnobSettings(), self._live_inputs).model_bytes)
        for index, each in enumerate(certified):
            if self._tracer.held(each.setting, self._live_inputs).model_bytes <= limit:
                return frozenset({index})
        return frozenset()

    def _measured(
        self,
        target: TargetEngine,
        engine: Engine,
        settings: Sequence[KnobSettings],
        certificates: Sequence[Certificate | None],
        progress: Progress,
    ) -> tuple[OperatingPoint, ...]:
        inputs = scaled(self._split.report.inputs, self._scale)
        full = self._reference.build(settings[0])
        costs = CostModel(self._network, full.weights_resident_bytes)
        prepared = []
        for setting in settings:
            counted = self._reference.build(setting)
            flops_ratio = costs.cost(counted, forward_all(counted, inputs)).flops_ratio
            prepared.append(PreparedPoint(engine.prepare(candidate(setting, target.name)), flops_ratio))
        figures = measure_figures(prepared, inputs, self._split.report.truth, self._plan.objective.risk)
        figures = with_live_bytes(self._tracer, settings, figures, self._live_inputs)
        if self._meter is not None:
            progress(f"{target.name}: measuring energy, {ROUNDS} times {self._meter.least_s:g} s a point")
            spent = measure_energy([point.variant for point in prepared], inputs, self._meter)
            if None in spent:
                progress(
                    f"{target.name}: {self._meter.source} failed at {spent.count(None)} of {len(spent)} points"
                )
            figures = tuple(replace(each, energy_mj=mj) for each, mj in zip(figures, spent, strict=True))
        turns = turn_times_ms([point.variant for point in prepared], inputs, RUNG_TURNS)
        rungs = [
            RungCost(
                tuple(map(float, row)),
                each.weights_resident_bytes,
                each.weights_resident_bytes + (each.peak_live_encoded_bytes or 0),
            )
            for row, each in zip(turns, figures, strict=True)
        ]
        points: list[OperatingPoint] = []
        layers = [layer for segment in body_segments(self._network) for layer in segment.layers]
        for index in undominated(rungs, always=_precisions_only(settings)):
            setting, taken = settings[index], [point.name for point in points]
            precisions = {precision_of(setting, layer) for layer in layers}
            name = name_point(setting, precisions, figures[index].skip_ratio, taken)
            points.append(candidate(setting, target.name, name, figures[index], certificates[index]))
        return tuple(points)


def _worth_testing(chain: Sequence[ChainStep], plan: Plan) -> tuple[ChainStep, ...]:
    whole = max(
        index
        for index, step in enumerate(chain)
        if step.setting.only_precisions and not isinstance(step.move, CascadeMove)
    )
    kept = [chain[0]]
    for index, step in enumerate(chain[1:], 1):
        if index == whole or plan.objective.cost(step.cost) < STEP_WORTH_TESTING * plan.objective.cost(
            kept[-1].cost
        ):
            kept.append(step)
    return tuple(kept)


def _precisions_only(settings: Sequence[KnobSettings]) -> frozenset[int]:
    """Of the settings in which only precisions were turned, and which answer with all of the model: the last, and
    the last that has one precision throughout, which is the smallest."""
    all_of_it = [index for index, setting in enumerate(settings) if setting.only_precisions]
    plain = [index for index in all_of_it if not settings[index].layer_precision]
    return frozenset({all_of_it[-1], plain[-1]})
