"""What is computed value by value, all in one layout."""

import math

import numpy as np
from torch import fx

from tidegate.models.graph import Argument, Weight
from tidegate.models.importing.lowering.layouts.layout import aligned, settled, sizes_of, weight_beside
from tidegate.models.importing.lowering.reader import Expanded, Laid, Reader, Value


def pointwise(reader: Reader, node: fx.Node) -> Value:
    """Value by value: all in one layout; weights are laid out as the values that they meet."""
    rank = len(sizes_of(node))
    layouts = {
        each.name: aligned(reader, node, each, rank, index)
        for index, each in enumerate(node.all_input_nodes)
        if not isinstance(reader.values.get(each.name), Weight | Expanded)
    }
    first = max(layouts.values(), key=lambda laid: math.prod(laid.shape))
    if any(len(laid.shape) != len(first.shape) or laid.groups != first.groups for laid in layouts.values()):
        raise reader.refusal(node, "meets a value whose samples lie elsewhere")

    def argument(each: object) -> Argument:
        if not isinstance(each, fx.Node):
            return reader.argument(each)
        if each.name in layouts:
            return layouts[each.name].ref
        return weight_beside(reader, node, each, first, rank)

    args = tuple(argument(each) for each in node.args)
    kwargs = {key: argument(each) for key, each in node.kwargs.items()}
    beside = [reader.tensors[each.weight].shape[1:] for each in args if isinstance(each, Weight)]
    shape = np.broadcast_shapes(*(laid.shape for laid in layouts.values()), *beside)
    ref = reader.add(node, str(node.target), args, tuple(shape), "_laid", kwargs)
    return settled(reader, node, Laid(ref, tuple(shape), first.groups))
