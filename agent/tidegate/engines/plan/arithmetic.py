"""How a point computes, by layer and by tensor, for an engine that builds models. Pure."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from tidegate.engines.plan.adapted import Adapted, adapted_tensors
from tidegate.engines.plan.capabilities import Capabilities
from tidegate.engines.plan.execution import ExecutionPlan
from tidegate.engines.plan.quantization import QuantParams, Range
from tidegate.engines.plan.tensors import is_quantizable_layer, plan_tensors
from tidegate.engines.support import layers_of
from tidegate.models.knobs import precision_of
from tidegate.models.ladder import Activity, OperatingPoint, Precision
from tidegate.models.network import Network, all_segments


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """How a point computes: `rounding` and `codes` by layer, `adapted` and `params_of` by tensor.

    `rounding` names layers that compute in fp32 on weights rounded as the reference rounds them, `codes` those
    that compute on integers. `activity` is what gates look at.
    """

    rounding: Mapping[str, Precision] = field(default_factory=dict)
    codes: Mapping[str, Precision] = field(default_factory=dict)
    adapted: Mapping[str, Adapted] = field(default_factory=dict)
    params_of: Mapping[str, QuantParams] = field(default_factory=dict)
    activity: Activity = Activity.MEAN_ABS

    def within(self, layers: AbstractSet[str], tensors: AbstractSet[str], *, gated: bool) -> "ArithmeticKey":
        """What of it is built into a model of these layers and tensors."""
        return ArithmeticKey(
            tuple(sorted((layer, each) for layer, each in self.rounding.items() if layer in layers)),
            tuple(sorted((layer, each) for layer, each in self.codes.items() if layer in layers)),
            tuple(sorted((name, each) for name, each in self.adapted.items() if name in tensors)),
            tuple(sorted((name, params) for name, params in self.params_of.items() if name in tensors)),
            self.activity if gated else None,
        )


@dataclass(frozen=True, slots=True)
class ArithmeticKey:
    """The arithmetic of one model, to compare it with another's. `activity` is None where no gate looks."""

    rounding: tuple[tuple[str, Precision], ...]
    codes: tuple[tuple[str, Precision], ...]
    adapted: tuple[tuple[str, Adapted], ...]
    params_of: tuple[tuple[str, QuantParams], ...]
    activity: Activity | None


def arithmetic_of(
    network: Network, point: OperatingPoint, plan: ExecutionPlan, capabilities: Capabilities, *, native: bool
) -> Arithmetic:
    """The arithmetic of a point that passed its engine's check, by its plan.

    `native` points were certified on the engine itself; all others keep the reference's arithmetic, since their
    certificates say nothing of rounded activations. Raises MissingRange.
    """
    precisions = {layer: precision_of(point, layer) for layer in sorted(layers_of(network))}
    narrow = {layer: each for layer, each in precisions.items() if each is not Precision.FP32}
    quantizable = _quantizable_layers(network)
    codes = {layer: each for layer, each in narrow.items() if layer in quantizable} if native else {}
    adapted = adapted_tensors(network, point.activations)
    # Calibration's own: the device then computes with those that were certified.
    ranges = {name: Range(*span) for name, span in point.ranges.items()}
    params_of = plan_tensors(plan, frozenset(codes), adapted, ranges, capabilities) if codes else {}
    return Arithmetic({} if native else narrow, codes, adapted, params_of, point.activity)


def _quantizable_layers(network: Network) -> frozenset[str]:
    return frozenset(
        node.layer
        for graph in all_segments(network)
        for node in graph.nodes
        if node.layer is not None and is_quantizable_layer(node)
    )
