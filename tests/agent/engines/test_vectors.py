"""Fully connected int8 layers packed as convolutions: the numbers of oneDNN's linear layer, to the last bit."""

import pytest
import torch

from tidegate.engines.fusion import Activation, Layer
from tidegate.engines.packed.kernels import QuantizedForm, pack_quantized
from tidegate.engines.packed.threads import threads
from tidegate.engines.packed.vectors import LEAST_WEIGHTS, pack_vectors, takes_vectors
from tidegate.engines.quantization import Grid, Range, quantize_weight

OUTPUTS, INPUTS = 500, 600
SOURCE = Grid.over(Range(-0.5, 2.0))


def layer(
    activation: Activation | None = None, tokens: tuple[int, ...] = (), residual: str | None = None
) -> Layer:
    return Layer("y", "x", (*tokens, INPUTS), (*tokens, OUTPUTS), "l.w", "l.b", None, residual, activation)


@pytest.mark.parametrize("samples", [1, 2, 16, 17, 40])
@pytest.mark.parametrize("activation", [None, Activation("relu")])
@pytest.mark.parametrize("output", [None, Grid.over(Range(-3.0, 4.0))])
@pytest.mark.parametrize("count", [1, 2])
def test_both_ways_give_the_same_bits(
    samples: int, activation: Activation | None, output: Grid | None, count: int
) -> None:
    torch.manual_seed(samples)
    weight = quantize_weight(torch.randn(OUTPUTS, INPUTS).div(INPUTS**0.5).numpy(), 119)
    bias = torch.randn(OUTPUTS)
    form = QuantizedForm(SOURCE, output)
    # Every other column of a wider batch: what comes from a slice need not be contiguous.
    codes = torch.randint(0, 256, (samples, 2 * INPUTS), dtype=torch.uint8)[:, ::2]
    with torch.inference_mode(), threads(count):
        expected = pack_quantized(layer(activation), weight, bias, form).run(codes.contiguous(), None)
        found = pack_vectors(layer(activation), weight, bias, form).run(codes, None)
    assert found.shape == (samples, OUTPUTS)
    assert found.dtype == expected.dtype
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "other",
    [layer(Activation("gelu", (), "none")), layer(tokens=(7,)), layer(residual="r")],
    ids=["an activation of linear layers alone", "tokens", "a sum"],
)
def test_other_layers_stay_linear(other: Layer) -> None:
    assert takes_vectors(layer(), LEAST_WEIGHTS)
    assert not takes_vectors(layer(), LEAST_WEIGHTS - 1)
    assert not takes_vectors(other, LEAST_WEIGHTS)
