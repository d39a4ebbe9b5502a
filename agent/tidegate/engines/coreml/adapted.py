"""AA-ReLU in a function: `tidegate.models.aa_relu` as MIL operators."""

import math

from tidegate.engines.coreml.graph_builder import GraphBuilder
from tidegate.engines.coreml.runtime import Var, mb
from tidegate.engines.plan.adapted import Adapted


def emit_adapted(build: GraphBuilder, x: Var, adapted: Adapted) -> Var:
    """The value after threshold, clip and rounding."""
    setting = adapted.setting
    if setting.threshold > 0:
        size = mb.abs(x=x, name=build.named("size"))
        small = mb.less(x=size, y=build.number(setting.threshold), name=build.named("small"))
        x = mb.select(cond=small, a=build.number(0.0), b=x, name=build.named("kept"))
    if setting.clip < math.inf:
        x = _clipped(build, x, -setting.clip, setting.clip)
    if setting.bits is None:
        return x
    levels = 2**setting.bits - 1
    step = (setting.clip - adapted.lowest) / levels
    below_zero = math.floor(-adapted.lowest / step + 0.5)
    units = mb.real_div(x=x, y=build.number(step), name=build.named("units"))
    codes = _clipped(build, mb.round(x=units, name=build.named("whole")), -below_zero, levels - below_zero)
    return mb.mul(x=codes, y=build.number(step), name=build.named("levels"))


def _clipped(build: GraphBuilder, x: Var, low: float, high: float) -> Var:
    return mb.clip(x=x, alpha=build.number(low), beta=build.number(high), name=build.named("clipped"))
