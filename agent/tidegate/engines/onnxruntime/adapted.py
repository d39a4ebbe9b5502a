"""AA-ReLU in a graph: `tidegate.models.aa_relu` as ONNX operators, on floats or on uint8 codes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tidegate.engines.onnxruntime.graph_builder import Scope
from tidegate.engines.plan.quantization import LEVELS, QuantParams
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.ladder import Activation
from tidegate.models.network import Network


@dataclass(frozen=True, slots=True)
class Adapted:
    """The setting of one activation tensor, and the least that the value can be (None: no bound)."""

    setting: Activation
    floor: float | None

    @property
    def params(self) -> QuantParams | None:
        """Its rounding as uint8 quantization parameters, where that covers all 256 codes; None otherwise."""
        if self.setting.bits != 8:
            return None
        low = self.lowest
        step = (self.setting.clip - low) / LEVELS
        return QuantParams(step, math.floor(-low / step + 0.5))

    @property
    def lowest(self) -> float:
        """The least value that it lets through."""
        return -self.setting.clip if self.floor is None else max(self.floor, -self.setting.clip)


def adapted_tensors(network: Network, activations: Mapping[str, Activation]) -> dict[str, Adapted]:
    """The settings by value (`segment/node`). Tensors that the network doesn't have are left out."""
    if not activations:
        return {}
    return {
        f"{tensor.segment}/{tensor.node}": Adapted(activations[tensor.name], tensor.floor)
        for segment in network.segments
        for tensor in activation_tensors_of(segment)
        if tensor.name in activations
    }


def emit_on_floats(scope: Scope, value: str, adapted: Adapted, name: str) -> str:
    """The value after threshold, clip and rounding; gives its name."""
    setting = adapted.setting
    if setting.threshold > 0:
        size = value if adapted.floor == 0 else scope.emit("Abs", [value], f"{name}/aa/size")
        bound = scope.constant(f"{name}/aa/threshold", np.asarray(setting.threshold, np.float32))
        small = scope.emit("Less", [size, bound], f"{name}/aa/small")
        zero = scope.constant(f"{name}/aa/none", np.asarray(0, np.float32))
        value = scope.emit("Where", [small, zero, value], f"{name}/aa/kept")
    if setting.clip < math.inf:
        bounds = [
            scope.constant(f"{name}/aa/{end}", np.asarray(sign * setting.clip, np.float32))
            for end, sign in (("low", -1), ("high", 1))
        ]
        value = scope.emit("Clip", [value, *bounds], f"{name}/aa/clipped")
    if setting.bits is None:
        return value
    levels = 2**setting.bits - 1
    step = (setting.clip - adapted.lowest) / levels
    below_zero = math.floor(-adapted.lowest / step + 0.5)
    unit = scope.constant(f"{name}/aa/step", np.asarray(step, np.float32))
    codes = scope.emit("Round", [scope.emit("Div", [value, unit], f"{name}/aa/units")], f"{name}/aa/whole")
    ends = [
        scope.constant(f"{name}/aa/{end}_code", np.asarray(bound, np.float32))
        for end, bound in (("low", -below_zero), ("high", levels - below_zero))
    ]
    kept = scope.emit("Clip", [codes, *ends], f"{name}/aa/codes")
    return scope.emit("Mul", [kept, unit], f"{name}/aa/rounded")


def works_on_codes(adapted: Adapted, params: QuantParams) -> bool:
    """Whether `emit_on_codes` can do it: rounding to fewer levels than the parameters' own needs floats."""
    return adapted.setting.bits is None or adapted.params == params


def emit_on_codes(scope: Scope, codes: str, adapted: Adapted, params: QuantParams, name: str) -> str:
    """The codes with small ones at zero and large ones cut, as far as quantizing doesn't do so itself."""
    setting = adapted.setting
    low, high = (_code(sign * setting.clip, params) for sign in (-1, 1))
    if low > 0 or high < LEVELS:
        ends = [
            scope.constant(f"{name}/aa/{end}", np.asarray(code, np.uint8))
            for end, code in (("low", low), ("high", high))
        ]
        codes = scope.emit("Clip", [codes, *ends], f"{name}/aa/clipped")
    # The smallest distance from zero that is kept, in steps.
    kept = math.ceil(setting.threshold / params.scale)
    if kept <= 1:
        return codes
    zero = scope.constant(f"{name}/aa/zero", np.asarray(params.zero_point, np.uint8))
    most = scope.constant(f"{name}/aa/most", np.asarray(min(LEVELS, params.zero_point + kept - 1), np.uint8))
    small = scope.emit("LessOrEqual", [codes, most], f"{name}/aa/small")
    if params.zero_point > 0:
        least = scope.constant(f"{name}/aa/least", np.asarray(max(0, params.zero_point - kept + 1), np.uint8))
        shallow = scope.emit("GreaterOrEqual", [codes, least], f"{name}/aa/shallow")
        small = scope.emit("And", [small, shallow], f"{name}/aa/near")
    return scope.emit("Where", [small, zero, codes], f"{name}/aa/kept")


def _code(value: float, params: QuantParams) -> int:
    if math.isinf(value):
        return 0 if value < 0 else LEVELS
    return min(LEVELS, max(0, round(value / params.scale) + params.zero_point))
