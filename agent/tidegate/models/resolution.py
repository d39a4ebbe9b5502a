"""A network on images of another size: the same weights, other shapes of its values. No torch here."""

from collections.abc import Mapping

from tidegate.models.errors import BundleError
from tidegate.models.graph import Segment
from tidegate.models.graph.shapes import reshaped
from tidegate.models.network import Network, ReshapedNetwork, Shape, blocks_of


def at_resolution(network: Network, resolution: tuple[int, int]) -> ReshapedNetwork:
    """The network for images of that height and width. Raises BundleError saying why it can't run on them.

    Stand-ins and exit heads that don't fit at this size are left out.
    """
    first = network.segments[0].input_shape
    if len(first) != 3:
        raise BundleError(
            f"the model's input has shape {first}, only images (channels, height, width) have a resolution"
        )
    shapes = network.weight_shapes
    given: Shape = (first[0], *resolution)
    segments: list[Segment] = []
    for segment in network.segments:
        segments.append(reshaped(segment, given, shapes))
        given = segments[-1].output_shape
    declared = network.segments[-1].output_shape
    if given != declared:
        raise BundleError(f"the output would have shape {given}, declared is {declared}")
    by_name = {segment.name: segment for segment in segments}
    stand_ins = {
        block: {
            kind: graph
            for kind, original in kinds.items()
            if (graph := _fitting(original, by_name[block].input_shape, shapes, by_name[block].output_shape))
        }
        for block, kinds in network.stand_ins.items()
    }
    heads = {
        block: head
        for block, original in network.exit_heads.items()
        if (head := _fitting(original, by_name[block].input_shape, shapes, declared))
    }
    found = ReshapedNetwork(network, tuple(segments), stand_ins, heads)
    lost = {block.name for block in blocks_of(network)} ^ {block.name for block in blocks_of(found)}
    if lost:
        raise BundleError(f"{sorted(lost)} keep their input's shape at one size only")
    return found


def _fitting(segment: Segment, given: Shape, weight_shapes: Mapping[str, Shape], output: Shape) -> Segment | None:
    try:
        found = reshaped(segment, given, weight_shapes)
    except BundleError:
        return None
    return found if found.output_shape == output else None
