"""What each layer, activation tensor and block costs in answers when one knob is turned alone, from the full net.

This is the analysis for people and reports (the paper's section III.B); selection measures anew, from its start.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tidegate.calibration.certify.risk import mean_kl
from tidegate.calibration.fit.activation_statistics import ActivationStatistics
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.search.activation_levels import ZERO_SHARES
from tidegate.engines.reference.tracing import Trace, Tracer
from tidegate.models.graph import Segment
from tidegate.models.ladder import Activation, Precision
from tidegate.models.network import TrainedNetwork
from tidegate.models.precision import fake_quantized
from tidegate_bench.adaptive_activation.problem import Data
from tidegate_bench.progress import Progress

SIMULATED_BITS = (8, 7, 6, 5, 4, 3, 2)
CLIP_BITS = 8
"""The clip alone is shown as the range that this width would choose; narrower ranges as those of fewer bits."""


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One knob at one value: KL to the full net's answers, share newly wrong (or disagreeing), bytes saved.

    `scope` is a layer, an activation tensor or a segment. `saved_bytes` is of weights resident plus encoded live
    activations, None for widths that are only fake-quantized.
    """

    scope: str
    knob: str
    value: str
    loss: float
    risk: float
    saved_bytes: int | None

    @property
    def loss_per_mib(self) -> float | None:
        """What a rank list orders by; None where nothing is saved."""
        return self.loss / self.saved_bytes * 2**20 if self.saved_bytes and self.saved_bytes > 0 else None


@dataclass(frozen=True, slots=True)
class _Turn:
    scope: str
    knob: str
    value: str
    setting: KnobSettings


def sensitivities(
    network: TrainedNetwork,
    statistics: Mapping[str, ActivationStatistics],
    data: Data,
    progress: Progress = lambda _: None,
) -> tuple[Sensitivity, ...]:
    """Every knob value alone, in the order of the network."""
    tracer = Tracer(network)
    full = tracer.trace(KnobSettings(), data.inputs)
    found = []
    for turn in _turns(network.segments, statistics):
        trace = tracer.trace(turn.setting, data.inputs)
        found.append(_measured(turn.scope, turn.knob, turn.value, full, trace, data))
        progress(f"{turn.scope} {turn.knob} {turn.value}: KL {found[-1].loss:.4f}")
    for layer, names in _layers(network.segments).items():
        for bits in SIMULATED_BITS:
            rounded = {name: fake_quantized(network.arrays[name], bits) for name in names}
            trace = Tracer(replace(network, arrays={**network.arrays, **rounded})).trace(
                KnobSettings(), data.inputs
            )
            one = _measured(layer, "simulated weights", f"{bits} bit", full, trace, data)
            found.append(replace(one, saved_bytes=None))
    return tuple(found)


def rank_list(found: Sequence[Sensitivity]) -> tuple[Sensitivity, ...]:
    """Those that save something, least loss per byte first."""
    saving = [one for one in found if one.loss_per_mib is not None]
    return tuple(sorted(saving, key=lambda one: one.loss_per_mib or 0.0))


def _turns(segments: Sequence[Segment], statistics: Mapping[str, ActivationStatistics]) -> Iterator[_Turn]:
    for layer in _layers(segments):
        for precision in (Precision.BF16, Precision.INT8, Precision.INT4):
            yield _Turn(layer, "weights", precision, KnobSettings(layer_precision={layer: precision}))
    for name, found in statistics.items():
        for bits in SIMULATED_BITS:
            yield _activation(name, "bits", f"{bits}", Activation(clip=found.clip(bits), bits=bits))
            if bits != CLIP_BITS:
                yield _activation(name, "clip", f"as at {bits} bit", Activation(clip=found.clip(bits)))
        for share in ZERO_SHARES[1:] if found.tensor.is_activation else ():
            yield _activation(name, "zeros", f"{share:.0%}", Activation(threshold=found.threshold(share)))
    for segment in segments:
        yield from _block_turns(segment, statistics)


def _block_turns(segment: Segment, statistics: Mapping[str, ActivationStatistics]) -> Iterator[_Turn]:
    inside = {name: found for name, found in statistics.items() if found.tensor.segment == segment.name}
    for precision, bits in ((Precision.INT8, 8), (Precision.INT4, 4)):
        setting = KnobSettings(
            layer_precision=dict.fromkeys(segment.layers, precision),
            activations={name: Activation(clip=found.clip(bits), bits=bits) for name, found in inside.items()},
        )
        yield _Turn(segment.name, "block", f"{precision} weights, {bits} bit activations", setting)
    if segment.skippable:
        yield _Turn(segment.name, "block", "skipped", KnobSettings(skip=frozenset({segment.name})))


def _activation(name: str, knob: str, value: str, activation: Activation) -> _Turn:
    return _Turn(name, knob, value, KnobSettings(activations={name: activation}))


def _layers(segments: Sequence[Segment]) -> dict[str, tuple[str, ...]]:
    """Names of the weights of each layer."""
    return {
        layer: tuple(name for name in segment.weights if name.rpartition(".")[0] == layer)
        for segment in segments
        for layer in segment.layers
    }


def _measured(scope: str, knob: str, value: str, full: Trace, trace: Trace, data: Data) -> Sensitivity:
    return Sensitivity(
        scope,
        knob,
        value,
        mean_kl(full.outputs, trace.outputs),
        data.risk(full.outputs, trace.outputs),
        full.model_bytes - trace.model_bytes,
    )
