"""What an engine refuses: names that a network doesn't have, and knobs that it has no code for. No torch here."""

from collections.abc import Collection

from tidegate.engines.engine import REFERENCE, UnsupportedPoint
from tidegate.engines.runtime.runtimes import RUNTIMES
from tidegate.models.errors import BundleError
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.knobs import Knobs, precision_of, stand_in_of
from tidegate.models.ladder import OperatingPoint, Precision, StandIn
from tidegate.models.network import Network, all_segments, blocks_of
from tidegate.models.resolution import at_resolution as reshaped_for


def check_arithmetic(point: OperatingPoint, engine: str) -> None:
    """Raises UnsupportedPoint for a point that was certified on another engine, unless on the reference."""
    if point.engine in {REFERENCE, engine}:
        return
    if point.engine not in RUNTIMES:
        raise UnsupportedPoint(
            f"{point.name}: certified on engine {point.engine}, which tidegate does not have; its engines are "
            f"{', '.join(RUNTIMES)}; build the bundle again with `tidegate bundle build`"
        )
    raise UnsupportedPoint(f"{point.name}: certified on engine {point.engine}, whose arithmetic is its own")


def at_resolution(network: Network, resolution: tuple[int, int] | None) -> Network:
    """The network with the shapes that it has on images of this height and width; None leaves them.

    Stand-ins and exits that don't run at this size are left out. Raises UnsupportedPoint where the rest doesn't.
    """
    if resolution is None:
        return network
    try:
        return reshaped_for(network, resolution)
    except BundleError as error:
        raise UnsupportedPoint(f"resolution {resolution}: {error}") from error


def layers_of(network: Network) -> frozenset[str]:
    """Names of all layers whose precision can be chosen."""
    return frozenset(layer for segment in all_segments(network) for layer in segment.layers)


def check_built(point: OperatingPoint, network: Network, precisions: Collection[Precision], engine: str) -> None:
    """What an engine that builds models checks of a point before it does; `precisions` are its own.

    Raises UnsupportedPoint for another engine's point, and for knobs that don't fit the network. Weights rounded
    as the reference rounds them run in fp32, so a point of the reference may have any precision.
    """
    check_arithmetic(point, engine)
    shaped = at_resolution(network, point.resolution)
    check_knobs(point, shaped)
    check_precisions(point, shaped, precisions if point.engine == engine else set(Precision), engine)


def check_knobs(knobs: Knobs, network: Network) -> None:
    """Raises UnsupportedPoint for blocks, layers, activation tensors, stand-ins or exits that it does not have."""
    blocks = {segment.name: segment for segment in blocks_of(network)}
    unknown = (knobs.skip | knobs.thresholds.keys() | knobs.stand_ins.keys()) - blocks.keys()
    if unknown:
        raise UnsupportedPoint(f"{sorted(unknown)} are not blocks; blocks are {sorted(blocks)}")
    layers = layers_of(network)
    strange = knobs.layer_precision.keys() - layers
    if strange:
        raise UnsupportedPoint(f"{sorted(strange)} are not layers; layers are {sorted(layers)}")
    tensors = (
        {tensor.name for segment in network.segments for tensor in activation_tensors_of(segment)}
        if knobs.activations
        else set()
    )
    lost = knobs.activations.keys() - tensors
    if lost:
        raise UnsupportedPoint(f"{sorted(lost)} are not activation tensors; those are {sorted(tensors)}")
    headless = knobs.exits.keys() - network.exit_heads.keys()
    if headless:
        raise UnsupportedPoint(f"{sorted(headless)} have no exit; {sorted(network.exit_heads)} have one")
    for block in knobs.skip | knobs.thresholds.keys():
        kind = stand_in_of(knobs, block)
        if kind is StandIn.IDENTITY:
            if not blocks[block].skippable:
                raise UnsupportedPoint(f"{block}: changes shape, so that its input can't stand in for it")
        elif kind not in network.stand_ins.get(block, {}):
            raise UnsupportedPoint(f"{block}: the network holds no stand-in {kind}")


def check_precisions(knobs: Knobs, network: Network, allowed: Collection[Precision], engine: str) -> None:
    """Raises UnsupportedPoint for the first precision that the engine doesn't have here."""
    for precision in {precision_of(knobs, layer) for layer in layers_of(network)}:
        if precision not in allowed:
            raise UnsupportedPoint(f"engine {engine} has no {precision} here; it has {', '.join(sorted(allowed))}")
