"""Which stored values are alive at once while a segment runs. Pure arithmetic on sizes."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tidegate.models.graph import INPUT, Ref, Segment
from tidegate.models.sites import Site

Sizes = npt.NDArray[np.int64]


def peak_live(segment: Segment, sites: tuple[Site, ...], sizes: Mapping[str, Sizes]) -> Sizes:
    """The largest sum of sizes alive at once, elementwise over samples (samples,).

    `sizes` holds (samples,) by node name, the segment's input under INPUT. A value lives from the step that
    stores it to the last step that reads it; a step's operands and result are alive together; the result of the
    segment lives to its end.
    """
    last_read = {site.node: index for index, site in enumerate(sites)}
    last_read[INPUT] = 0
    for index, site in enumerate(sites):
        for name in site.reads:
            last_read[name] = index
    for name in results(segment, sites):
        last_read[name] = len(sites)
    stored_at = {INPUT: -1} | {site.node: index for index, site in enumerate(sites)}
    steps = [
        sum(sizes[name] for name, last in last_read.items() if stored_at[name] <= index <= last)
        for index in range(len(sites))
    ]
    peak: Sizes = np.max([np.broadcast_to(step, sizes[INPUT].shape) for step in steps or [sizes[INPUT]]], axis=0)
    return peak


def results(segment: Segment, sites: tuple[Site, ...]) -> frozenset[str]:
    """The stored values that the segment's result is made of: one, or what a final view looks at."""
    stored = {site.node for site in sites}
    nodes = {node.name: node for node in segment.nodes}
    name = segment.nodes[-1].name
    while name not in stored:
        if name == INPUT:
            return frozenset({INPUT})
        name = next(leaf.ref for leaf in nodes[name].leaves if isinstance(leaf, Ref))
    return frozenset({name})
