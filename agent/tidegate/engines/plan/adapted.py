"""AA-ReLU by value: which settings of a point act on which tensors of the plan, and on which codes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

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


def works_on_codes(adapted: Adapted, params: QuantParams) -> bool:
    """Whether it can act on codes of these parameters: rounding to fewer levels than theirs needs floats."""
    return adapted.setting.bits is None or adapted.params == params
