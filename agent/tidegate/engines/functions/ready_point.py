"""A point's stages joined with its functions, whoever has opened them."""

from collections.abc import Callable

import numpy as np

from tidegate.engines.functions.names import name_of
from tidegate.engines.functions.pipeline import OpenFunction, ReadyStage
from tidegate.engines.functions.staged import staged
from tidegate.models.ladder import OperatingPoint
from tidegate.models.network import Network


def ready_stages(
    network: Network, point: OperatingPoint, opened: Callable[[str], OpenFunction]
) -> list[ReadyStage]:
    """`opened` gives a function of the point by its name. Raises UnsupportedPoint for unknown knobs."""
    stages = dict(staged(network, point))
    branches = {name for name in stages if name.endswith(("_block", "_stand_in"))}
    ready = []
    for index, (name, stage) in enumerate((n, s) for n, s in stages.items() if n not in branches):
        gated, leaving = stage.gated, stage.leaving
        block, stand_in = name_of(point.name, index, "block"), name_of(point.name, index, "stand_in")
        ready.append(
            ReadyStage(
                stage,
                opened(name),
                np.inf if leaving is None else point.exits[leaving.name],
                np.inf if gated is None else point.thresholds[gated.name],
                opened(block) if block in branches else None,
                opened(stand_in) if stand_in in branches else None,
            )
        )
    return ready
