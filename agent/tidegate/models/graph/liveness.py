"""Which activation tensors are alive at once while a segment runs. Pure arithmetic on sizes."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tidegate.models.graph import INPUT, Segment
from tidegate.models.graph.activation_tensors import ActivationTensor

Sizes = npt.NDArray[np.int64]


def peak_live(segment: Segment, tensors: tuple[ActivationTensor, ...], sizes: Mapping[str, Sizes]) -> Sizes:
    """The largest sum of sizes alive at once, elementwise over samples (samples,).

    `sizes` holds (samples,) by node name, the segment's input under INPUT. A value lives from the step that
    stores it to the last step that reads it; a step's operands and result are alive together; the result of the
    segment lives to its end.
    """
    last_read = {tensor.node: index for index, tensor in enumerate(tensors)}
    last_read[INPUT] = 0
    for index, tensor in enumerate(tensors):
        for name in tensor.reads:
            last_read[name] = index
    for name in results(segment, tensors):
        last_read[name] = len(tensors)
    stored_at = {INPUT: -1} | {tensor.node: index for index, tensor in enumerate(tensors)}
    steps = [
        sum(sizes[name] for name, last in last_read.items() if stored_at[name] <= index <= last)
        for index in range(len(tensors))
    ]
    peak: Sizes = np.max([np.broadcast_to(step, sizes[INPUT].shape) for step in steps or [sizes[INPUT]]], axis=0)
    return peak


def results(segment: Segment, tensors: tuple[ActivationTensor, ...]) -> frozenset[str]:
    """The activation tensors that the segment's result is made of: one, or what a final view looks at."""
    stored = {tensor.node for tensor in tensors}
    nodes = {node.name: node for node in segment.nodes}
    name = segment.nodes[-1].name
    while name not in stored:
        if name == INPUT:
            return frozenset({INPUT})
        name = nodes[name].operands[0]
    return frozenset({name})
