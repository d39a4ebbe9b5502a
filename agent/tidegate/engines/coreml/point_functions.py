"""An operating point's functions in a package, and the formats of weights that they can have."""

from tidegate.engines.coreml.function import StageFunction, build_function
from tidegate.engines.coreml.weight_format import WeightFormat
from tidegate.engines.engine import REFERENCE
from tidegate.engines.functions.staged import CAPABILITIES, staged
from tidegate.engines.plan.arithmetic import arithmetic_of
from tidegate.engines.plan.execution import plan_execution, with_signs
from tidegate.engines.support import at_resolution
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import OperatingPoint, Precision
from tidegate.models.network import Network


def formats_of(point: OperatingPoint, network: Network) -> tuple[WeightFormat, ...]:
    """Those that a point can have: of the reference's arithmetic all that hold what it rounds, else 8 bits."""
    if point.engine != REFERENCE:
        return (WeightFormat.W8A8,)
    used = {precision_of(point, layer) for segment in network.segments for layer in segment.layers}
    narrow = {Precision.INT8: (WeightFormat.INT8,), Precision.INT4: (WeightFormat.INT8, WeightFormat.INT4)}
    held = {each for precision in used for each in narrow.get(precision, ())}
    return (WeightFormat.FP32, WeightFormat.FP16, *sorted(held))


def functions_of(network: Network, point: OperatingPoint, weight_format: WeightFormat) -> list[StageFunction]:
    """All functions of a point. Raises UnsupportedPoint for knobs or operators that have no form."""
    shaped = at_resolution(network, point.resolution)
    plan = with_signs(plan_execution(shaped, point))
    arithmetic = arithmetic_of(network, point, plan, CAPABILITIES, native=weight_format is WeightFormat.W8A8)
    arrays = network.weights(network.weight_shapes)
    return [
        build_function(name, stage, arithmetic, arrays.__getitem__, weight_format)
        for name, stage in staged(network, point)
    ]
