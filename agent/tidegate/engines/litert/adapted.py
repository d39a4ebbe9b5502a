"""AA-ReLU in a graph: `tidegate.models.aa_relu` as LiteRT operators, on float32."""

import math

from tidegate.engines.litert.graph_builder import GraphBuilder, Value
from tidegate.engines.litert.options import options
from tidegate.engines.plan.adapted import Adapted


def emit_adapted(build: GraphBuilder, value: Value, adapted: Adapted) -> Value:
    """The value after threshold, clip and rounding."""
    setting = adapted.setting
    if setting.threshold > 0:
        size = value if adapted.floor == 0 else build.emit("ABS", [value.tensor], _like(build, value))
        small = build.model.tensor(f"small{size.tensor}", size.physical, bool)
        build.model.emit("LESS", [size.tensor, build.constant(setting.threshold)], [small], options("Less"))
        inputs = [small, build.constant(0.0), value.tensor]
        value = build.emit("SELECT_V2", inputs, _like(build, value), options("SelectV2"))
    if setting.clip < math.inf:
        value = _clipped(build, value, -setting.clip, setting.clip)
    if setting.bits is None:
        return value
    levels = 2**setting.bits - 1
    step = (setting.clip - adapted.lowest) / levels
    below_zero = math.floor(-adapted.lowest / step + 0.5)
    unit = build.constant(step)
    units = build.emit("DIV", [value.tensor, unit], _like(build, value), options("Div"))
    whole = build.emit("ROUND", [units.tensor], _like(build, value))
    codes = _clipped(build, whole, -below_zero, levels - below_zero)
    return build.emit("MUL", [codes.tensor, unit], _like(build, value), options("Mul"))


def _clipped(build: GraphBuilder, value: Value, low: float, high: float) -> Value:
    table = options("MaximumMinimum")
    above = build.emit("MAXIMUM", [value.tensor, build.constant(low)], _like(build, value), table)
    return build.emit("MINIMUM", [above.tensor, build.constant(high)], _like(build, value), table)


def _like(build: GraphBuilder, value: Value) -> Value:
    return build.new(value.shape, value.order)
