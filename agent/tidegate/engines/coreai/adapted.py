"""AA-ReLU in a function: `tidegate.models.aa_relu` as Core AI operators."""

import math

from tidegate.engines.coreai.elementwise import clipped
from tidegate.engines.coreai.graph_builder import GraphBuilder
from tidegate.engines.coreai.runtime import Value, ops
from tidegate.engines.plan.adapted import Adapted


def emit_adapted(build: GraphBuilder, x: Value, adapted: Adapted) -> Value:
    """The value after threshold, clip and rounding."""
    setting = adapted.setting
    if setting.threshold > 0:
        small = ops.broadcasting_greater(build.number(setting.threshold), ops.abs_(x))
        x = ops.broadcasting_where(small, build.number(0), x)
    if setting.clip < math.inf:
        x = clipped(build, x, -setting.clip, setting.clip)
    if setting.bits is None:
        return x
    levels = 2**setting.bits - 1
    step = (setting.clip - adapted.lowest) / levels
    below_zero = math.floor(-adapted.lowest / step + 0.5)
    whole = ops.round_(ops.broadcasting_divide(x, build.number(step)))
    return ops.broadcasting_mul(clipped(build, whole, -below_zero, levels - below_zero), build.number(step))
