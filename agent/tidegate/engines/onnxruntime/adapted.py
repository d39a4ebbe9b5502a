"""AA-ReLU in a graph: `tidegate.models.aa_relu` as ONNX operators, on floats or on uint8 codes."""

import math

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import GraphBuilder
from tidegate.engines.plan.adapted import Adapted
from tidegate.engines.plan.quantization import LEVELS, QuantParams


def emit_on_floats(build: GraphBuilder, value: str, adapted: Adapted, name: str) -> str:
    """The value after threshold, clip and rounding; gives its name."""
    setting = adapted.setting
    if setting.threshold > 0:
        size = value if adapted.floor == 0 else build.emit("Abs", [value], f"{name}/aa/size")
        bound = build.constant(f"{name}/aa/threshold", np.asarray(setting.threshold, np.float32))
        small = build.emit("Less", [size, bound], f"{name}/aa/small")
        zero = build.constant(f"{name}/aa/none", np.asarray(0, np.float32))
        value = build.emit("Where", [small, zero, value], f"{name}/aa/kept")
    if setting.clip < math.inf:
        bounds = [
            build.constant(f"{name}/aa/{end}", np.asarray(sign * setting.clip, np.float32))
            for end, sign in (("low", -1), ("high", 1))
        ]
        value = build.emit("Clip", [value, *bounds], f"{name}/aa/clipped")
    if setting.bits is None:
        return value
    levels = 2**setting.bits - 1
    step = (setting.clip - adapted.lowest) / levels
    below_zero = math.floor(-adapted.lowest / step + 0.5)
    unit = build.constant(f"{name}/aa/step", np.asarray(step, np.float32))
    codes = build.emit("Round", [build.emit("Div", [value, unit], f"{name}/aa/units")], f"{name}/aa/whole")
    ends = [
        build.constant(f"{name}/aa/{end}_code", np.asarray(bound, np.float32))
        for end, bound in (("low", -below_zero), ("high", levels - below_zero))
    ]
    kept = build.emit("Clip", [codes, *ends], f"{name}/aa/codes")
    return build.emit("Mul", [kept, unit], f"{name}/aa/rounded")


def emit_on_codes(build: GraphBuilder, codes: str, adapted: Adapted, params: QuantParams, name: str) -> str:
    """The codes with small ones at zero and large ones cut, as far as quantizing doesn't do so itself."""
    setting = adapted.setting
    low, high = (_code(sign * setting.clip, params) for sign in (-1, 1))
    if low > 0 or high < LEVELS:
        ends = [
            build.constant(f"{name}/aa/{end}", np.asarray(code, np.uint8))
            for end, code in (("low", low), ("high", high))
        ]
        codes = build.emit("Clip", [codes, *ends], f"{name}/aa/clipped")
    # The smallest distance from zero that is kept, in steps.
    kept = math.ceil(setting.threshold / params.scale)
    if kept <= 1:
        return codes
    zero = build.constant(f"{name}/aa/zero", np.asarray(params.zero_point, np.uint8))
    most = build.constant(f"{name}/aa/most", np.asarray(min(LEVELS, params.zero_point + kept - 1), np.uint8))
    small = build.emit("LessOrEqual", [codes, most], f"{name}/aa/small")
    if params.zero_point > 0:
        least = build.constant(f"{name}/aa/least", np.asarray(max(0, params.zero_point - kept + 1), np.uint8))
        shallow = build.emit("GreaterOrEqual", [codes, least], f"{name}/aa/shallow")
        small = build.emit("And", [small, shallow], f"{name}/aa/near")
    return build.emit("Where", [small, zero, codes], f"{name}/aa/kept")


def _code(value: float, params: QuantParams) -> int:
    if math.isinf(value):
        return 0 if value < 0 else LEVELS
    return min(LEVELS, max(0, round(value / params.scale) + params.zero_point))
