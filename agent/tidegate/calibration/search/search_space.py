"""What a search may turn on one network, from the knobs that its user left on."""

from collections.abc import Collection, Iterator

from tidegate.calibration.fit.site_range import observe_ranges
from tidegate.calibration.search.goal import Knob
from tidegate.calibration.search.moves import Menu, groups_of, nibble_groups_of, stand_ins_of
from tidegate.calibration.search.stored_values import StoredValues
from tidegate.engines.engine import Array
from tidegate.engines.resolution import runs_at
from tidegate.engines.support import at_resolution
from tidegate.engines.tracing import Tracer
from tidegate.models.network import Network, all_segments

RESOLUTION_SHARES = (0.875, 0.75, 0.625, 0.5)
LEAST_SIDE = 16
"""Of images whose resolution is turned: smaller ones have hardly a pixel to lose."""

MULTIPLE = 8
"""Sides are multiples of this: networks halve their input three times and more."""


def menu_of(network: Network, knobs: Collection[Knob], inputs: Array) -> Menu:
    """The moves that the knobs allow; `inputs` (n, *input shape) show where stored values lie."""
    stored = None
    if Knob.ACTIVATIONS in knobs:
        stored = StoredValues(observe_ranges(Tracer(network), inputs))
    return Menu(
        stand_ins_of(network) if Knob.BLOCKS in knobs else {},
        tuple(network.exit_heads) if Knob.EXITS in knobs else (),
        groups_of(network) if Knob.INT8 in knobs else (),
        nibbles=nibble_groups_of(network) if {Knob.INT8, Knob.INT4} <= set(knobs) else (),
        stored_values=stored,
        resolutions=tuple(_resolutions(network)) if Knob.RESOLUTION in knobs else (),
    )


def _resolutions(network: Network) -> Iterator[tuple[int, int]]:
    """Smaller sizes that the whole network runs at, its stand-ins and exits too, from large to small."""
    shape = network.segments[0].input_shape
    if len(shape) != 3 or min(shape[1:]) < 2 * LEAST_SIDE * min(RESOLUTION_SHARES):
        return
    for share in RESOLUTION_SHARES:
        height, width = (round(side * share / MULTIPLE) * MULTIPLE for side in shape[1:])
        if min(height, width) >= LEAST_SIDE and _runs_whole(network, (height, width)):
            yield height, width


def _runs_whole(network: Network, resolution: tuple[int, int]) -> bool:
    if not runs_at(network, resolution):
        return False
    return len(all_segments(at_resolution(network, resolution))) == len(all_segments(network))
