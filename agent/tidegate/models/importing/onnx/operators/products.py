"""Linear layers and products of matrices."""

import torch
from torch import Tensor
from torch.nn import functional

from tidegate.models.importing.onnx.call import Call, Operator, Unsupported


def linear(call: Call) -> Tensor:
    """A layer whose weight (outputs, inputs) was made of a Gemm's or a MatMul's constant."""
    return functional.linear(call.tensor(0), call.tensor(1), call.maybe(2))


def gemm(call: Call) -> Tensor:
    first, second, more = call.tensor(0), call.tensor(1), call.maybe(2)
    if call.attribute("transA", 0):
        raise Unsupported("transposes its first input, which moves samples to another axis")
    second = second.t() if call.attribute("transB", 0) else second
    alpha, beta = float(call.attribute("alpha", 1.0)), float(call.attribute("beta", 1.0))
    product = torch.matmul(first, second) * alpha
    return product if more is None else product + more * beta


def einsum(call: Call) -> Tensor:
    result: Tensor = torch.einsum(call.attribute("equation"), *call.tensors())
    return result


OPERATORS: dict[str, Operator] = {
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": lambda call: torch.matmul(call.tensor(0), call.tensor(1)),
    "tidegate.Linear": linear,
}
