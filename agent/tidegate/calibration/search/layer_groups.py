"""Layers that change precision together, so that a search has fewer moves to measure.

Those of exits are in no group: they stay in fp32.
"""

from tidegate.calibration.knob_settings import LayerGroup
from tidegate.models.network import Network, blocks_of, body_segments


def stage_groups_of(network: Network) -> tuple[LayerGroup, ...]:
    """Layers by what they belong to: all that always runs, or the blocks of one input shape and their stand-ins.

    Layers of a stage have much the same sensitivity; each by itself would make the search many times as long.
    """
    blocks = {block.name: block.input_shape for block in blocks_of(network)}
    stages = {shape: f"stage_{index + 1}" for index, shape in enumerate(dict.fromkeys(blocks.values()))}
    owner = {kind.name: block for block, kinds in network.stand_ins.items() for kind in kinds.values()}
    layers: dict[str, dict[str, None]] = {}
    for segment in body_segments(network):
        shape = blocks.get(owner.get(segment.name, segment.name))
        members = layers.setdefault("always" if shape is None else stages[shape], {})
        members.update(dict.fromkeys(segment.layers))
    return tuple(LayerGroup(name, tuple(members)) for name, members in layers.items() if members)


def segment_groups_of(network: Network) -> tuple[LayerGroup, ...]:
    """Layers by segment, a block's together with those of its stand-ins."""
    owner = {layer: segment.name for segment in network.segments for layer in segment.layers}
    for block, kinds in network.stand_ins.items():
        owner |= {layer: owner.get(layer, block) for graph in kinds.values() for layer in graph.layers}
    members: dict[str, list[str]] = {}
    for layer, segment in owner.items():
        members.setdefault(segment, []).append(layer)
    return tuple(LayerGroup(f"all of {segment}", tuple(layers)) for segment, layers in members.items())
