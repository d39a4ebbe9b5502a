"""Operators without a packed kernel, called as they stand between the packed layers."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

import torch
from torch import Tensor

from tidegate.engines.fusion import Call
from tidegate.engines.packed import kernels
from tidegate.engines.packed.forms import Form, PlannedStep, call_dtype, convert
from tidegate.engines.packed.slots import Run, Values
from tidegate.engines.quantization import Grid
from tidegate.models.graph import Argument, BatchSize, Ref, Weight

Read = Callable[[Values], object]


def bind_call(
    planned: PlannedStep, slots: Mapping[str, int], forms: Mapping[str, Form], weights: Mapping[str, Tensor]
) -> Run:
    """What computes the call; `weights` holds those among its arguments."""
    call = planned.step
    assert isinstance(call, Call)  # noqa: S101 - by the only caller
    output_slot = slots[planned.output]
    out_form = forms[planned.output]
    if isinstance(out_form, Grid):
        wants: dict[str, Form] = dict.fromkeys(planned.sources, out_form)
        computed: Form = out_form
    else:
        computed = call_dtype(planned, forms)
        wants = dict.fromkeys(planned.sources, computed)
    node = call.node
    function = _function(node.operator, isinstance(out_form, Grid))

    def reader(source: str) -> Read:
        slot, have, want = slots[source], forms[source], wants[source]
        if have == want:
            return lambda values: values[slot]
        return lambda values: convert(values[slot], have, want)

    reads = {name: reader(source) for name, source in zip(call.sources, planned.sources, strict=True)}
    args = [_resolved(argument, reads, weights) for argument in node.args]
    kwargs = {key: _resolved(argument, reads, weights) for key, argument in node.kwargs.items()}

    def run(values: Values) -> None:
        y = function(*[read(values) for read in args], **{key: read(values) for key, read in kwargs.items()})
        values[output_slot] = y if computed == out_form else convert(y, computed, out_form)

    return run


def _resolved(argument: Argument, reads: Mapping[str, Read], weights: Mapping[str, Tensor]) -> Read:
    """What gives the argument's value in a pass."""
    match argument:
        case Ref(name):
            return reads[name]
        case Weight(name):
            weight = weights[name]
            return lambda _: weight
        case BatchSize():
            return lambda values: values[-1]
        case tuple():
            items = [_resolved(item, reads, weights) for item in argument]
            return lambda values: [item(values) for item in items]
        case _:
            return lambda _: argument


def _function(operator: str, on_codes: bool) -> Callable[..., Tensor]:
    if operator == "aten.view.default":
        # Values are channels last here, where a view may not exist.
        return torch.reshape
    if operator == "aten.max_pool2d.default" and on_codes:
        return _max_pool_codes
    function: Callable[..., Tensor] = attrgetter(operator)(torch.ops)
    return function


def _max_pool_codes(
    x: Tensor,
    kernel: list[int],
    stride: list[int] | tuple[int, ...] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> Tensor:
    window, steps, edges, gaps = (
        list(size) * (2 // len(size)) for size in (kernel, stride or kernel, padding, dilation)
    )
    return kernels.max_pool_codes(x, window, steps, edges, gaps, ceil_mode=ceil_mode)
