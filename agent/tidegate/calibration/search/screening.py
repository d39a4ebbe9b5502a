"""Whether moves are first measured on a share of part S, because all of it would take too long."""

from tidegate.models.graph.flops import segment_flops
from tidegate.models.network import Network

SCREENED_OPERATIONS = 50e9
"""Of the full model over part S, from where on it is so, as for ResNet-18 at 224x224. Small networks are measured
in full."""

SCREENING_SHARE = 0.25


def is_screened(network: Network, samples: int) -> bool:
    """Of a search on so many samples."""
    flops = sum(segment_flops(segment, network.weight_shapes) for segment in network.segments)
    return flops * samples > SCREENED_OPERATIONS
