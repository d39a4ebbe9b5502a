"""The functions of an operating point: one where nothing decides on the way, else one for each way between two
decisions. Pure."""

from collections.abc import Iterator

from tidegate.engines.functions.names import name_of
from tidegate.engines.plan.capabilities import Capabilities
from tidegate.engines.plan.execution import plan_execution, with_signs
from tidegate.engines.plan.stages import Stage, branch, stages_of
from tidegate.engines.support import at_resolution, check_knobs
from tidegate.models.ladder import OperatingPoint, Precision
from tidegate.models.network import Network

CAPABILITIES = Capabilities(precisions=frozenset(Precision), on_integers=frozenset())
"""Nothing travels as codes: layers read rounded values."""


def staged(network: Network, point: OperatingPoint) -> Iterator[tuple[str, Stage]]:
    """The point's stages and the branches of its gates, by the name of the function of each."""
    shaped = at_resolution(network, point.resolution)
    check_knobs(point, shaped)
    stages = stages_of(with_signs(plan_execution(shaped, point)))
    for index, stage in enumerate(stages):
        yield name_of(point.name, *([index] if len(stages) > 1 else [])), stage
        gated = stage.gated
        if gated is not None and gated.graph is not None:
            yield name_of(point.name, index, "block"), branch(gated, gated.graph)
            if gated.stand_in is not None:
                yield name_of(point.name, index, "stand_in"), branch(gated, gated.stand_in)
