"""Fully connected layers whose input AA-ReLU has made sparse: for one sample only the rows that count are read.

torch's bag of embeddings is a sparse matrix-vector product: a sum of rows of the transposed weight, each times its
activation. From which share of zeros on it beats the dense product is measured by the probe.
"""

from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the name everybody knows
from torch import Tensor

from tidegate.engines.packed.kernels import Packed
from tidegate.engines.packed.timing import fastest_s

LEAST_WEIGHTS = 2**20
"""Below this many weights the dense product takes less time than looking for zeros."""

_SHARES = (0.5, 0.25, 0.1)
_GAIN = 0.9
"""Of the dense time, at most: a gain that is there on every run."""
_MEASURED_SIZE = 2048


def pack_sparse(weight: Tensor, bias: Tensor | None, most_non_zero: float) -> Packed:
    """A linear layer alone, in fp32, on (samples, inputs). One transposed copy serves both ways."""
    held = weight.nbytes + (0 if bias is None else bias.nbytes)
    rows = weight.t().contiguous()
    most = int(most_non_zero * len(rows))
    first = torch.zeros(1, dtype=torch.int64)

    def run(x: Tensor, _: Tensor | None) -> Tensor:
        if x.size(0) == 1:
            values = x[0]
            there = values.nonzero().flatten()
            if there.size(0) <= most:
                y = F.embedding_bag(there, rows, first, mode="sum", per_sample_weights=values[there])
                return y if bias is None else y.add_(bias)
        return x @ rows if bias is None else torch.addmm(bias, x, rows)

    return Packed(run, held)


def most_non_zero() -> float:
    """The largest share of non-zero inputs at which the sparse product is clearly faster here; 0 where none is."""
    size = _MEASURED_SIZE
    weight = torch.randn(size, size)
    dense, sparse = pack_sparse(weight, None, 0.0), pack_sparse(weight, None, 1.0)
    for share in _SHARES:
        x = torch.zeros(1, size)
        x[0, torch.randperm(size)[: int(share * size)]] = 1.0
        if fastest_s(partial(sparse.run, x, None)) < _GAIN * fastest_s(partial(dense.run, x, None)):
            return share
    return 0.0
