"""Choices between values by a mask that is known, as sums and products."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from tidegate.models.importing.lowering.reader import Value
from tidegate.models.importing.lowering.writer import ADD, FAR_BELOW, MUL, Writer


def masked(write: Writer, given: dict[str, Any]) -> Value:
    """A known mask by arithmetic: what it leaves is multiplied by 1, what it fills by 0, and then added to."""
    mask, filling = write.tensor(given["mask"]), given["value"]
    number = write.tensor(filling)
    value = float(number) if number is not None and number.numel() == 1 else filling
    if mask is None or not isinstance(value, int | float):
        raise write.reader.refusal(
            write.node, "a mask that depends on the input; allowed are masks that are known"
        )
    return _blended(write, given["self"], ~mask.bool(), torch.full((1,), float(value)))


def where(write: Writer, given: dict[str, Any]) -> Value:
    """One of two by a known mask."""
    mask = write.tensor(given["condition"])
    first, second = (_known(write, given[name]) for name in ("self", "other"))
    if mask is None:
        raise write.reader.refusal(
            write.node, "chooses by values; allowed are masks that don't depend on the input"
        )
    mask = mask.bool()
    if second is not None:
        return _blended(write, given["self"], mask, second.float())
    if first is not None:
        return _blended(write, given["other"], ~mask, first.float())
    kept = write.add(MUL, write.read(given["self"]), write.constant("kept", mask))
    return write.add(ADD, kept, write.add(MUL, write.read(given["other"]), write.constant("others", ~mask)))


def _known(write: Writer, source: object) -> Tensor | None:
    """The values of an argument that is known, also where it is a number."""
    return torch.tensor(float(source)) if isinstance(source, int | float) else write.tensor(source)


def _blended(write: Writer, source: fx.Node, keep: Tensor, filling: Tensor) -> Value:
    shape = write.reader.shape(write.node)
    filling = torch.clamp(filling.broadcast_to(np.broadcast_shapes(filling.shape, keep.shape)), min=FAR_BELOW)
    added = torch.where(keep, torch.zeros(()), filling)
    x = write.read(source)
    scaled = write.add(MUL, x, write.constant("keep", keep), shape=shape)
    return write.add(ADD, scaled, write.constant("filling", added), shape=shape)
