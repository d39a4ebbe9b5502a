"""What exits are added to on one engine: the network in 8 bits, but in fp32 where that is faster."""

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, compress

from tidegate.calibration.knob_settings import KnobSettings, LayerGroup
from tidegate.calibration.measure.exit_times import ExitTimes
from tidegate.calibration.search.objective import Objective
from tidegate.calibration.search.precision_by_time import WORTHWHILE, mean_ms, parts_in_fp32
from tidegate.models.graph import layer_of
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Precision
from tidegate.models.network import TrainedNetwork, body_segments

RUNTIME_BYTES = 20 * 2**20
"""What a runtime holds besides any weights: on a network of some 100 kB fp32 hardly makes a process larger."""

FP32_BYTES, INT8_BYTES = 4, 1


@dataclass(frozen=True, slots=True)
class CascadeBase:
    """A setting without exits, with its times, and those of the chain's beginning, which has all in 8 bits."""

    setting: KnobSettings
    times: ExitTimes
    beginning: ExitTimes


def cascade_base(
    network: TrainedNetwork,
    beginning: KnobSettings,
    objective: Objective,
    timed: Callable[[KnobSettings], ExitTimes],
) -> CascadeBase:
    """The base on the engine that `timed` measures on. Raises UnsupportedPoint as that does.

    Bytes count as much as the objective says: where nothing else counts, all stays in 8 bits.
    """
    eight = timed(beginning)
    unchanged = CascadeBase(beginning, eight, eight)
    narrow = [layer for layer in _layers(network) if precision_of(beginning, layer) is not Precision.FP32]
    if not narrow or not eight.exits or not objective.flops_share:
        return unchanged
    all_full = _in_fp32(network, beginning, narrow)
    full = timed(all_full)
    if full.exits.keys() != eight.exits.keys():
        return unchanged
    parts = _parts(network, tuple(eight.exits))
    full_bytes = FP32_BYTES * sum(_weights(network, _layers(network)))
    byte_ms = (1 - objective.flops_share) / objective.flops_share * eight.whole_ms / (RUNTIME_BYTES + full_bytes)
    added = [(FP32_BYTES - INT8_BYTES) * sum(_weights(network, set(part) & set(narrow))) for part in parts]
    wide = parts_in_fp32(eight, full, added, byte_ms)
    tried = [(mean_ms(full) + byte_ms * sum(added), CascadeBase(all_full, full, eight))]
    if any(wide) and not all(wide):
        setting = _in_fp32(network, beginning, list(chain.from_iterable(compress(parts, wide))))
        mixed = timed(setting)
        # What is foreseen of a mixture from times of its parts may not come about.
        if mixed.exits.keys() == eight.exits.keys():
            cost_ms = mean_ms(mixed) + byte_ms * sum(compress(added, wide))
            tried.append((cost_ms, CascadeBase(setting, mixed, eight)))
    least_ms, best = min(tried, key=lambda each: each[0])
    return best if least_ms < WORTHWHILE * mean_ms(eight) else unchanged


def _layers(network: TrainedNetwork) -> tuple[str, ...]:
    return tuple(layer for segment in body_segments(network) for layer in segment.layers)


def _in_fp32(network: TrainedNetwork, setting: KnobSettings, layers: Sequence[str]) -> KnobSettings:
    changed = setting.with_precision(LayerGroup("", tuple(layers)), Precision.FP32)
    return changed.normal(frozenset(_layers(network)))


def _parts(network: TrainedNetwork, exits: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """The layers before the first of the exits, from each to the next, and behind the last.

    Those of a block's stand-ins are with the block's own.
    """
    parts: list[list[str]] = [[]]
    for segment in network.segments:
        if segment.name in exits:
            parts.append([])
        stand_ins = network.stand_ins.get(segment.name, {}).values()
        parts[-1] += [layer for graph in (segment, *stand_ins) for layer in graph.layers]
    return tuple(map(tuple, parts))


def _weights(network: TrainedNetwork, layers: Collection[str]) -> Iterator[int]:
    """How many each of the layers has; none of stand-ins, which a cascade doesn't use."""
    own = {layer for segment in network.segments for layer in segment.layers if layer in layers}
    return (math.prod(shape) for name, shape in network.weight_shapes.items() if layer_of(name) in own)
