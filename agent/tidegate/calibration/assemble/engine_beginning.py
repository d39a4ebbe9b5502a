"""How a chain begins on one engine: in 8 bits as far as answers hold there, by layer where not all of them can.

The search rounds weights on eager. An engine rounds activations too, so that what costs no answer there may cost
many here.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate.calibration.candidate import candidate
from tidegate.calibration.data.batches import answer_on_all_cores
from tidegate.calibration.knob_settings import KnobSettings, LayerGroup
from tidegate.calibration.measure.cpu_time import cpu_times_ms
from tidegate.calibration.progress import Progress
from tidegate.calibration.search.chain_step import ChainStep
from tidegate.calibration.search.moves import Move, PrecisionMove
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.precision_by_loss import Sensitivity, falling, narrowed, units_of
from tidegate.calibration.search.trials import COMPANION_WEIGHT
from tidegate.calibration.target_engine import TargetEngine
from tidegate.engines.engine import Array
from tidegate.engines.plan.tensors import is_quantizable_layer
from tidegate.models.bundle.evidence import Truth
from tidegate.models.graph import Segment, layer_of
from tidegate.models.graph.flops import layer_flops
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import OperatingPoint, Precision, Ranges
from tidegate.models.network import TrainedNetwork, body_segments

TOLERATED = 0.5
"""Of the least loss to certify: what may fail on S before anything but precision is turned."""

SENSITIVITY_FLOPS = 2e12
"""Of all layers' measurements one by one: so many inputs are taken, but FEWEST_INPUTS at least."""

FEWEST_INPUTS = 32

TIMED_INPUTS, TIMED_ROUNDS = 64, 12

NAMED = 3
"""Layers that a move names; of more it says how many."""

Measured = Callable[[KnobSettings, Move | None], ChainStep]


@dataclass(frozen=True, slots=True)
class Beginning:
    """Steps from full down; all else that is turned begins at the last. `further` steps are cheaper and lose more.

    `by_layer` where the engine's own answers chose what is in 8 bits.
    """

    steps: tuple[ChainStep, ...]
    further: tuple[ChainStep, ...] = ()
    by_layer: bool = False


class EngineTrials:
    """Settings of precisions on an engine, against its full model; `inputs` (n, *input shape) are of S, and so are
    their `labels` (n,), if there are any.

    `ranges` are those of the whole network over S.
    """

    def __init__(
        self,
        target: TargetEngine,
        network: TrainedNetwork,
        inputs: Array,
        labels: Truth | None,
        ranges: Ranges,
        objective: Objective,
    ) -> None:
        self._target = target
        self._engine = target.over(network)
        self.inputs = inputs
        self._labels = labels
        self._ranges = ranges
        self._risk = objective.risk
        self._full = self._answers(KnobSettings(), len(inputs))

    def judged(self, step: ChainStep) -> ChainStep:
        """The step with the losses that it has on the engine. Raises UnsupportedPoint."""
        answers = self._answers(step.setting, len(self.inputs))
        # A network that is often wrong changes its mind where nothing is lost by that.
        failures = float(self._risk.foreseen(self._full, answers, self._labels).mean())
        loss = failures + COMPANION_WEIGHT * self._risk.loss(self._full, answers)
        return replace(step, loss=loss, disagreement=failures)

    def companion(self, setting: KnobSettings, count: int) -> float:
        """The risk's smooth companion over the first inputs: it tells layers apart that change no answer."""
        return self._risk.loss(self._full[:count], self._answers(setting, count))

    def times_ms(self, settings: Sequence[KnobSettings]) -> tuple[float, ...]:
        """Processor time per input, all in the same turns."""
        variants = [self._engine.prepare(self._point(setting)) for setting in settings]
        found = cpu_times_ms(variants, self.inputs[:TIMED_INPUTS], TIMED_ROUNDS)
        for variant in variants:
            variant.release()
        return found

    def _answers(self, setting: KnobSettings, count: int) -> Array:
        return answer_on_all_cores(self._engine, self._point(setting), self.inputs[:count]).outputs

    def _point(self, setting: KnobSettings) -> OperatingPoint:
        return candidate(replace(setting, ranges=self._ranges), self._target.name)


def beginning_on(
    trials: EngineTrials,
    network: TrainedNetwork,
    beginning: Sequence[ChainStep],
    objective: Objective,
    least_alpha: float,
    measured: Measured,
    progress: Progress,
) -> Beginning:
    """The beginning on an engine that computes in 8 bits: sought by layer where that of eager doesn't hold there.

    `measured` gives what a setting costs in operations and bytes. Raises UnsupportedPoint.
    """
    held = tuple(map(trials.judged, beginning))
    layers = frozenset(layer for segment in body_segments(network) for layer in segment.layers)
    tolerated = TOLERATED * least_alpha
    whole = not any(precision_of(held[-1].setting, layer) is Precision.FP32 for layer in layers)
    units = units_of(tuple(dict.fromkeys(each for part in network.segments for each in _quantizable(part))))
    if not units or (whole and held[-1].disagreement <= tolerated):
        return Beginning(held)
    found = _told(held[-1]) if len(held) > 1 else "rounded weights alone change too many answers"
    progress(f"{found}: trying {len(units)} layers, or neighbours together, one by one")
    full = held[0].setting
    order = _sensitivities(network, full, units, trials, objective)
    settings: list[tuple[KnobSettings, Move | None]] = [(full, None)]
    for in_fp32 in narrowed(order):
        wide = [layer for each in in_fp32 for layer in each.layers]
        narrow = {layer for unit in units for layer in unit}.difference(wide) if wide else layers
        settings.append((_narrowed_to(network, full, narrow).normal(layers), _move(wide)))
    times_ms = trials.times_ms([setting for setting, _ in settings])
    steps = []
    for (setting, move), ms in zip(settings, times_ms, strict=True):
        steps.append(trials.judged(measured(setting, move)))
        if move is not None:
            progress(f"{_told(steps[-1])}, {ms / times_ms[0]:.0%} of full's time")
    kept, further = falling(
        [
            objective.cost(replace(step.cost, time_ratio=ms / times_ms[0]))
            for step, ms in zip(steps, times_ms, strict=True)
        ],
        [step.disagreement <= tolerated for step in steps],
    )
    base_ms = times_ms[kept[-1]]
    timed = [
        replace(step, cost=replace(step.cost, time_ratio=ms / base_ms))
        for step, ms in zip(steps, times_ms, strict=True)
    ]
    return Beginning(
        tuple(timed[index] for index in kept), tuple(timed[index] for index in further), by_layer=True
    )


def _told(step: ChainStep) -> str:
    return f"{step.move or 'full'}: {step.disagreement:.1%} of answers fail"


def _sensitivities(
    network: TrainedNetwork,
    full: KnobSettings,
    units: Sequence[tuple[str, ...]],
    trials: EngineTrials,
    objective: Objective,
) -> tuple[Sensitivity, ...]:
    """Of each group of layers, alone in 8 bits."""
    flops: dict[str, int] = {}
    for segment in network.segments:
        flops |= layer_flops(segment, network.weight_shapes)
    sizes: dict[str, int] = {}
    for name, shape in network.weight_shapes.items():
        sizes[layer_of(name)] = sizes.get(layer_of(name), 0) + math.prod(shape)
    measured = int(SENSITIVITY_FLOPS / (len(units) * max(sum(flops.values()), 1)))
    count = min(max(measured, FEWEST_INPUTS), len(trials.inputs))

    def share(of: Mapping[str, int], unit: tuple[str, ...]) -> float:
        return sum(of[layer] for layer in unit) / max(sum(of.values()), 1)

    return tuple(
        Sensitivity(
            unit,
            trials.companion(_narrowed_to(network, full, unit), count),
            objective.flops_share * share(flops, unit) + (1 - objective.flops_share) * share(sizes, unit),
        )
        for unit in units
    )


def _narrowed_to(network: TrainedNetwork, full: KnobSettings, layers: Collection[str]) -> KnobSettings:
    """These layers in int8; those of a block's stand-ins as soon as all of the block's own are."""
    narrow = set(layers)
    for segment in network.segments:
        own = _quantizable(segment)
        if own and narrow.issuperset(own):
            kinds = network.stand_ins.get(segment.name, {})
            narrow.update(layer for graph in kinds.values() for layer in graph.layers)
    return full.with_precision(LayerGroup("", tuple(sorted(narrow))), Precision.INT8)


def _quantizable(segment: Segment) -> tuple[str, ...]:
    """The segment's layers that compute on integers where they are in 8 bits, in their order."""
    found = (node.layer for node in segment.nodes if node.layer is not None and is_quantizable_layer(node))
    return tuple(dict.fromkeys(found))


def _move(wide: Sequence[str]) -> PrecisionMove:
    """To 8 bits but for the layers that stay wide."""
    kept = ", ".join(wide) if len(wide) <= NAMED else f"{len(wide)} layers"
    return PrecisionMove(f"all but {kept}" if wide else "all", Precision.INT8)
