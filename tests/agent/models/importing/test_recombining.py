"""What exporters take apart is one layer or one function again, and answers as it did."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.importing.export import export_module
from tidegate.models.precision import Fp32Weight

CHANNELS = 6


class Written(nn.Module):
    """A function of what a convolution without a bias gives, and of two weights per channel."""

    def __init__(
        self, formula: Callable[[Tensor, Tensor, Tensor], Tensor], slopes: Sequence[float] = (0.25,)
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, 3, bias=False)
        self.shift = nn.Parameter(torch.randn(1, CHANNELS, 1, 1))
        self.slope = nn.Parameter(torch.tensor(slopes).repeat(CHANNELS)[:CHANNELS].reshape(1, -1, 1, 1))
        self.formula = formula

    def forward(self, x: Tensor) -> Tensor:
        return self.formula(self.conv(x), self.shift, self.slope).flatten(1)


def operators_of(module: nn.Module, shape: tuple[int, ...] = (3, 9, 9)) -> list[str]:
    """The graph's, views left out, once it has answered as the module does."""
    torch.manual_seed(1)
    x = 3 * torch.randn(4, *shape)
    exported = export_module(module.eval(), x)
    weights = {name: Fp32Weight(torch.from_numpy(np.array(array))) for name, array in exported.weights.items()}
    with torch.no_grad():
        answers = list(Interpreter(exported.segment, weights).values(x).values())[-1]
        torch.testing.assert_close(answers, module(x), rtol=1e-5, atol=1e-5)
    assert set(exported.paths) == {node.name for node in exported.segment.nodes}
    names = [node.operator.split(".")[1] for node in exported.segment.nodes]
    return [name for name in names if name not in {"view", "flatten", "reshape"}]


def tanh_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x * x * x)))


@pytest.mark.parametrize(
    ("formula", "operators"),
    [
        (lambda y, b, a: y + b, ["conv2d"]),
        (lambda y, b, a: b + y, ["conv2d"]),
        (lambda y, b, a: (y + b) * a, ["conv2d", "mul"]),
        # Read twice: the sum is not all that becomes of the layer.
        (lambda y, b, a: (y + b) * y, ["conv2d", "add", "mul"]),
        (lambda y, b, a: y * functional.relu6(y + 3) / 6, ["conv2d", "hardswish"]),
        (lambda y, b, a: (y + b) * (functional.hardtanh(y + b + 3, 0, 6) / 6), None),
        (lambda y, b, a: tanh_gelu(y + b), ["conv2d", "gelu"]),
        (lambda y, b, a: y * functional.relu6(y + 2) / 6, None),
        (lambda y, b, a: functional.relu(y + b) + functional.relu6(y + 3), None),
    ],
)
def test_layers_and_functions_are_whole_again(
    formula: Callable[[Tensor, Tensor, Tensor], Tensor], operators: list[str] | None
) -> None:
    found = operators_of(Written(formula))
    assert found == operators if operators is not None else not {"hardswish", "gelu"} & set(found)


def test_a_bias_behind_a_view_goes_in_too() -> None:
    class OverTime(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, CHANNELS, (3, 1), bias=False)
            self.shift = nn.Parameter(torch.randn(CHANNELS, 1))

        def forward(self, x: Tensor) -> Tensor:
            return (self.conv(x).squeeze(3) + self.shift).amax(2)

    assert operators_of(OverTime(), (3, 9, 1)) == ["conv2d", "amax"]


def test_a_bias_by_place_and_one_of_a_layer_used_twice_stay_where_they_are() -> None:
    class ByPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, CHANNELS, 3, bias=False)
            self.shift = nn.Parameter(torch.randn(1, 1, 7, 7))

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) + self.shift

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, bias=False)
            self.shift = nn.Parameter(torch.randn(1, 3, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x) + self.shift)

    assert operators_of(ByPlace()) == ["conv2d", "add"]
    assert operators_of(Twice()) == ["conv2d", "add", "conv2d"]


@pytest.mark.parametrize(
    ("slopes", "operators"),
    [
        ((0.0, 0.3, 1.0), ["conv2d", "max_pool2d", "mul", "maximum"]),
        # Falling below 0: its largest value may come of the least x.
        ((0.3, -0.3), ["conv2d", "mul", "maximum", "max_pool2d"]),
        # Steeper below 0 than above: not the larger of the two.
        ((0.3, 1.7), ["conv2d", "mul", "relu", "relu", "mul", "add", "max_pool2d"]),
    ],
)
def test_a_pool_comes_before_a_prelu_that_never_falls(slopes: tuple[float, ...], operators: list[str]) -> None:
    def pooled(y: Tensor, shift: Tensor, slope: Tensor) -> Tensor:
        return functional.max_pool2d(functional.prelu(y + shift, slope.flatten()), 2)

    assert sorted(operators_of(Written(pooled, slopes))) == sorted(operators)
    if slopes[-1] <= 1:
        assert operators_of(Written(pooled, slopes)) == operators
