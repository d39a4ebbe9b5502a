"""The reference's stored weights, moved to another device and to what is computed in there."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from tidegate.models.precision import Fp32Weight, StoredWeight


@dataclass(frozen=True, slots=True)
class _Narrowed:
    """Rounded as stored, widened to a narrow width only."""

    stored: StoredWeight
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        return self.stored.nbytes

    def dequantize(self) -> Tensor:
        return self.stored.dequantize().to(self.dtype)


def moved(stored: StoredWeight, device: torch.device, dtype: torch.dtype) -> StoredWeight:
    """The weight on a device; what is not rounded is kept in the width itself."""
    if isinstance(stored, Fp32Weight):
        return Fp32Weight(stored.values.to(device, dtype))
    tensors = {each.name: getattr(stored, each.name) for each in fields(stored)}  # type: ignore[arg-type]  # all are
    there = replace(
        stored,  # type: ignore[type-var]  # dataclasses, all of them
        **{name: each.to(device) for name, each in tensors.items() if isinstance(each, Tensor)},
    )
    return there if dtype is torch.float32 else _Narrowed(there, dtype)
