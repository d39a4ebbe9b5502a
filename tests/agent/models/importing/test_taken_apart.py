"""Operators that no graph has, as several that it has: by rules, or as torch takes them apart itself."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.export import ExportError

Apply = Callable[[Tensor], Tensor]

OF_ONE: dict[str, Apply] = {
    "log2": lambda x: torch.log2(x.abs() + 1),
    "log10": lambda x: torch.log10(x.abs() + 1),
    "exp2": torch.exp2,
    "a number to the power of x": lambda x: 3**x,
    "a fraction as power": lambda x: (x.abs() + 0.1) ** 1.5,
    "a value as power": lambda x: (x.abs() + 0.1) ** x.sigmoid(),
    "sinh and cosh": lambda x: torch.sinh(x) - torch.cosh(x),
    "logsumexp": lambda x: torch.logsumexp(x * 40, -1, keepdim=True) + torch.logsumexp(x, (1, 2))[:, None, None],
    "logaddexp": lambda x: torch.logaddexp(x * 50, x * -50),
    "hypot": lambda x: torch.hypot(x, x + 1),
    "logit": lambda x: torch.logit(x.sigmoid(), 0.3) + torch.logit(x.sigmoid()),
    "celu and rrelu": lambda x: functional.celu(x, 1.3) + functional.rrelu(x),
    "softplus with a beta": lambda x: functional.softplus(x, 2.5),
    "lerp": lambda x: torch.lerp(x, x * 2, 0.3) + torch.lerp(x, x * 2, x.sigmoid()),
    "erfc": torch.erfc,
    "limits that are values": lambda x: x.clamp(min=-x.abs() / 2, max=torch.tensor(0.3)),
    "addcmul and addcdiv": lambda x: torch.addcmul(x, x, x.exp(), value=0.5) + torch.addcdiv(x, x, x * x + 1),
    "cosine similarity": lambda x: functional.cosine_similarity(x, x + 1, dim=-1)[..., None] * x,
    "an RMS norm": lambda x: functional.rms_norm(x, (6, 8)) + functional.rms_norm(x, (8,), torch.arange(8.0)),
    "one number in a value's shape": lambda x: torch.cat(
        [torch.full_like(x[:, :1], 0.3), x * torch.ones_like(x)], 1
    ),
    "a mask and a number": lambda x: (
        torch.where(torch.arange(8) > 3, x, 0.25) - torch.where(torch.arange(8) > 5, 1, x)
    ),
    "a triangle": lambda x: torch.tril(x) + torch.triu(x, 1) * 2,
    "differences": torch.diff,
}

EQUATIONS = {
    "nij,jk->nik": (8, 5),
    "nij,ik->nkj": (6, 3),
    "nij,ijk->nik": (6, 8, 3),
    "ij,nkj->nik": (3, 8),
    "nij,ij->n": (6, 8),
    "nij,kij->nk": (4, 6, 8),
    "nij,nkj->nik": None,
    "nij,nij->ni": None,
    "n h w, n k w -> n k h": None,
}
"""With the shape of the weight; None for the value itself."""


class Layered(nn.Module):
    """A function between two layers."""

    def __init__(self, apply: Apply) -> None:
        super().__init__()
        self.first, self.apply_it = nn.Linear(8, 8), apply

    def forward(self, x: Tensor) -> Tensor:
        return self.apply_it(self.first(x)).flatten(1)


def off(module: nn.Module) -> float:
    """How far the graph's answers are from the module's, as a share of the largest."""
    x = torch.randn(5, 6, 8)
    network = discover(module.eval(), x[:2]).network
    with torch.no_grad():
        expected = module(x).numpy()
    found = EagerEngine(network).build(KnobSettings()).forward(x.numpy()).outputs
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("name", OF_ONE)
def test_the_graph_answers_as_torch(name: str) -> None:
    torch.manual_seed(0)
    assert off(Layered(OF_ONE[name])) < 1e-4


class Summed(nn.Module):
    """einsum of a layer's values with a weight, or with themselves."""

    def __init__(self, equation: str, shape: tuple[int, ...] | None) -> None:
        super().__init__()
        self.first, self.equation = nn.Linear(8, 8), equation
        self.weight = None if shape is None else nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        operands = (x, x * 2) if self.weight is None else (x, self.weight)
        if self.equation.startswith("ij,"):
            operands = operands[::-1]
        return torch.einsum(self.equation, *operands).reshape(x.shape[0], -1)


@pytest.mark.parametrize("equation", EQUATIONS)
def test_a_sum_by_an_equation_is_a_product(equation: str) -> None:
    torch.manual_seed(0)
    assert off(Summed(equation, EQUATIONS[equation])) < 1e-4


@pytest.mark.parametrize(
    ("apply", "reason"),
    [
        (
            lambda x: torch.einsum("nij,mij->nm", x, x),
            "works on a value whose samples are not alone along the first axis",
        ),
        (lambda x: torch.einsum("nii->n", x[:, :, :6])[:, None], "einsum nii->n; allowed are two operands"),
        (lambda x: x.sort(-1)[0], "aten.sort.default has no form in a graph; what chooses by value"),
        (torch.atan, "operator aten.atan.default has no form in a graph"),
        (lambda x: (-1) ** x, "powers of -1; allowed is a number above 0"),
    ],
)
def test_what_has_no_parts_is_named_as_the_user_wrote_it(apply: Apply, reason: str) -> None:
    with pytest.raises(ExportError) as refused:
        discover(Layered(apply).eval(), torch.zeros(2, 6, 8))
    assert reason in str(refused.value)
    assert "prims" not in str(refused.value)
