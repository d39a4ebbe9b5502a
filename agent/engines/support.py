"""What an engine refuses: knobs it has no code for must never be run as if they were not there."""

from collections.abc import Collection, Iterable
from dataclasses import MISSING, fields

from agent.engines.engine import UnsupportedPoint
from agent.models.knobs import Knobs, precision_of
from agent.models.ladder import OperatingPoint, Precision
from agent.models.network import Network, blocks_of

KNOBS = frozenset({"thresholds", "skip", "precision", "layer_precision", "threads", "ranges"})
"""The knobs that the packed and the onnx engine turn; another set on a point is refused by name."""

_NO_KNOBS = frozenset({"name", "engine", "figures", "certificate"})


def layers_of(network: Network) -> frozenset[str]:
    """Names of all layers whose precision can be chosen."""
    return frozenset(layer for segment in network.segments for layer in segment.layers)


def check_knobs(knobs: Knobs, network: Network, precisions: Collection[Precision], engine: str) -> None:
    """Raises UnsupportedPoint naming the first knob that the engine can't turn as asked."""
    blocks = {segment.name for segment in blocks_of(network)}
    unknown = (knobs.skip | knobs.thresholds.keys()) - blocks
    if unknown:
        raise UnsupportedPoint(f"{sorted(unknown)} are no blocks; blocks are {sorted(blocks)}")
    layers = layers_of(network)
    strange = knobs.layer_precision.keys() - layers
    if strange:
        raise UnsupportedPoint(f"{sorted(strange)} are no layers; layers are {sorted(layers)}")
    _check_precisions({precision_of(knobs, layer) for layer in layers}, precisions, engine)
    if isinstance(knobs, OperatingPoint):
        _check_others(knobs, engine)


def _check_precisions(used: Iterable[Precision], allowed: Collection[Precision], engine: str) -> None:
    for precision in used:
        if precision not in allowed:
            raise UnsupportedPoint(f"engine {engine} has no {precision} here; it has {', '.join(sorted(allowed))}")


def _check_others(point: OperatingPoint, engine: str) -> None:
    for knob in fields(point):
        if knob.name in KNOBS | _NO_KNOBS:
            continue
        default = knob.default if knob.default is not MISSING else None
        if knob.default_factory is not MISSING:
            default = knob.default_factory()
        if getattr(point, knob.name) != default:
            raise UnsupportedPoint(f"{point.name}: engine {engine} has no knob {knob.name!r}")
