"""Operators without a packed kernel, called as they stand between the packed layers."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

import torch
from torch import Tensor

from agent.engines.fusion import Call
from agent.engines.packed import kernels
from agent.engines.packed.forms import Form, PlannedStep, call_dtype, convert
from agent.engines.packed.slots import Run, Values
from agent.engines.quantization import Grid
from agent.models.graph import Argument, BatchSize, Ref, Weight


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
    by_ref = dict(zip(call.sources, planned.sources, strict=True))
    haves = {source: forms[source] for source in planned.sources}
    function = _function(node.operator, isinstance(out_form, Grid))

    def resolve(argument: Argument, values: Values) -> object:
        match argument:
            case Ref(name):
                source = by_ref[name]
                return convert(values[slots[source]], haves[source], wants[source])
            case Weight(name):
                return weights[name]
            case BatchSize():
                return values[-1]
            case tuple():
                return [resolve(item, values) for item in argument]
            case _:
                return argument

    def run(values: Values) -> None:
        args = [resolve(argument, values) for argument in node.args]
        kwargs = {key: resolve(argument, values) for key, argument in node.kwargs.items()}
        y = function(*args, **kwargs)
        values[output_slot] = y if computed == out_form else convert(y, computed, out_form)

    return run


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
) -> Tensor:
    sizes = [list(size) * (2 // len(size)) for size in (kernel, stride or kernel, padding, dilation)]
    return kernels.max_pool_codes(x, *sizes)
