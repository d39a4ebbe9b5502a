"""The rungs of one engine: the chain's settings made its own, certified on C, picked, and measured on V."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from agent.calibration.assembly import name_point, pick_rungs, undominated
from agent.calibration.batches import run
from agent.calibration.candidate import candidate, is_narrow
from agent.calibration.certification import Certification, certify
from agent.calibration.checkpoint import Checkpoint
from agent.calibration.cost import CostModel
from agent.calibration.goal import Goal, Knob
from agent.calibration.hosts import Host
from agent.calibration.live_bytes import INPUTS as LIVE_INPUTS
from agent.calibration.live_bytes import with_live_bytes
from agent.calibration.measurement import Subject, fastest_threads, measure_figures
from agent.calibration.moves import PrecisionMove
from agent.calibration.outcomes import failure_masks
from agent.calibration.plan import Plan
from agent.calibration.progress import Progress
from agent.calibration.ranges import RangeFinder
from agent.calibration.refit import refitted
from agent.calibration.search import Step
from agent.calibration.setting import Setting
from agent.calibration.site_range import sampled
from agent.calibration.split import Split
from agent.engines.eager import EagerEngine
from agent.engines.engine import REFERENCE, Engine, UnsupportedPoint
from agent.engines.tracing import Tracer
from agent.models.evidence import scaled
from agent.models.ladder import Certificate, OperatingPoint
from agent.models.network import TrainedNetwork

STEP_WORTH_TESTING = 0.98
"""A setting that costs more than this share of the last one tested is passed over: testing it would take as long
as any other, and every test is one more at which the sequence may end."""


@dataclass(frozen=True, slots=True)
class _Tested:
    """One setting as an engine runs it, with the step of the chain that it came from."""

    step: Step
    setting: Setting


class RungMaker:
    """Makes rungs from one chain; `hosts` is how many engines share the plan's delta.

    `earlier` holds what an interrupted calibration had counted on C.
    """

    def __init__(
        self,
        network: TrainedNetwork,
        chain: Sequence[Step],
        split: Split,
        scale: float,
        plan: Plan,
        hosts: int,
        earlier: Checkpoint | None = None,
    ) -> None:
        self._network = network
        self._chain = _worth_testing(chain, plan)
        self._split = split
        self._scale = scale
        self._plan = plan
        self._hosts = hosts
        self._earlier = earlier
        self._search_inputs = scaled(split.search.inputs, scale)
        self._finder = RangeFinder(network, self._search_inputs)
        self._reference = EagerEngine(network)
        self._tracer = Tracer(network)
        self._live_inputs = sampled(scaled(split.report.inputs, scale), LIVE_INPUTS)

    def rungs(self, host: Host, progress: Progress) -> tuple[OperatingPoint, ...]:
        """Certified and measured points for one engine, full first."""
        engine = host.over(self._network)
        tested = self._own(host, engine, progress)
        progress(f"{host.name}: certifying {len(tested)} points on {len(self._split.certify)} inputs")
        certification = self._certify(host, engine, tested, progress)
        chosen = self._picked(tested, certification)
        settings = [tested[index].setting for index in chosen]
        progress(f"{host.name}: {len(chosen)} of {len(tested)} points become rungs; measuring them")
        return self._measured(host, engine, settings, [certification.certificates[index] for index in chosen])

    def _own(self, host: Host, engine: Engine, progress: Progress) -> tuple[_Tested, ...]:
        """The chain's settings with the engine's own ranges and thresholds; what it can't run is left out."""
        found: list[_Tested] = []
        threads = 1
        if Knob.THREADS in self._plan.knobs:
            threads = fastest_threads(engine, candidate(self._chain[0].setting, host.name), self._search_inputs)
            progress(f"{host.name}: fastest with {threads} threads")
        refused: dict[str, None] = {}
        for done, step in enumerate(self._chain):
            setting = replace(step.setting, threads=threads)
            try:
                if host.name != REFERENCE and is_narrow(setting):
                    setting = setting.without_bf16()
                    setting = replace(setting, ranges=self._finder.ranges(setting))
                    setting = refitted(self._network, setting, self._search_inputs, host)
                engine.prepare(candidate(setting, host.name)).release()
            except UnsupportedPoint as error:
                refused[str(error)] = None
                continue
            found.append(_Tested(step, setting))
            progress(f"{host.name}: fitting thresholds", share=done / len(self._chain))
        for reason in refused:
            progress(f"{host.name}: left out: {reason}")
        return tuple(found)

    def _certify(self, host: Host, engine: Engine, tested: Sequence[_Tested], progress: Progress) -> Certification:
        """Certificates on part C; the first setting is the full model, which loses nothing."""
        plan, part = self._plan, self._split.certify
        points = [candidate(each.setting, host.name) for each in tested]
        earlier = self._earlier
        kept = None if earlier is None else earlier.failures(f"{host.name} {host.runtime}", len(part))
        masks = failure_masks(engine, points, part, self._scale, plan.aim.risk, kept)
        counts = [int(count) for count in masks[1:].sum(1)]
        n, kind = len(part), plan.aim.risk.kind
        found = certify(counts, n, plan.alphas, plan.delta / self._hosts, kind)
        for alpha, needed in found.not_certifiable:
            progress(f"alpha {alpha:.1%} is not certifiable with {n} samples, it needs {needed}")
        # With their shares of delta the certificates of all engines hold at once with the whole of it.
        shared = (None if each is None else replace(each, delta=plan.delta) for each in found.certificates)
        return Certification((Certificate(kind, 0.0, plan.delta, n, 0), *shared), found.not_certifiable)

    def _picked(self, tested: Sequence[_Tested], certification: Certification) -> tuple[int, ...]:
        alphas = [None if found is None else found.alpha for found in certification.certificates]
        costs = [self._plan.aim.cost(each.step.cost) for each in tested]
        # What is certified is the sequence's beginning, so that indices among them are those of the sequence.
        certified = [each.setting for each, alpha in zip(tested, alphas, strict=True) if alpha is not None]
        stations = frozenset(
            index for index, after in enumerate(tested[1:]) if isinstance(after.step.move, PrecisionMove)
        )
        always = _precisions_only(certified) | self._target_met(tested[: len(certified)])
        return pick_rungs(alphas, costs, stations, always=always)

    def _target_met(self, certified: Sequence[_Tested]) -> frozenset[int]:
        """The first point within a target for memory, the one target that can be counted before it is measured."""
        target = self._plan.target
        if target is None or target.goal is not Goal.MEMORY:
            return frozenset()
        limit = target.limit_from(self._tracer.held(Setting(), self._live_inputs).model_bytes)
        for index, each in enumerate(certified):
            if self._tracer.held(each.setting, self._live_inputs).model_bytes <= limit:
                return frozenset({index})
        return frozenset()

    def _measured(
        self,
        host: Host,
        engine: Engine,
        settings: Sequence[Setting],
        certificates: Sequence[Certificate | None],
    ) -> tuple[OperatingPoint, ...]:
        inputs = scaled(self._split.report.inputs, self._scale)
        full = self._reference.build(settings[0])
        costs = CostModel(self._network, full.weights_resident_bytes)
        subjects = []
        for setting in settings:
            counted = self._reference.build(setting)
            flops_ratio = costs.cost(counted, run(counted, inputs)).flops_ratio
            subjects.append(Subject(engine.prepare(candidate(setting, host.name)), flops_ratio))
        figures = measure_figures(subjects, inputs, self._split.report.labels, self._plan.aim.risk)
        figures = with_live_bytes(self._tracer, settings, figures, self._live_inputs)
        points: list[OperatingPoint] = []
        for index in undominated(figures, always=_precisions_only(settings)):
            name = name_point(settings[index], figures[index].skip_ratio, [point.name for point in points])
            points.append(candidate(settings[index], host.name, name, figures[index], certificates[index]))
        return tuple(points)


def _worth_testing(chain: Sequence[Step], plan: Plan) -> tuple[Step, ...]:
    (whole,) = _precisions_only([step.setting for step in chain])
    kept = [chain[0]]
    for index, step in enumerate(chain[1:], 1):
        if index == whole or plan.aim.cost(step.cost) < STEP_WORTH_TESTING * plan.aim.cost(kept[-1].cost):
            kept.append(step)
    return tuple(kept)


def _precisions_only(settings: Sequence[Setting]) -> frozenset[int]:
    """The last of the settings in which only precisions were turned: it answers with all of the model."""
    return frozenset([int(np.flatnonzero([setting.only_precisions for setting in settings])[-1])])
