"""What doesn't depend on the input is computed once, while the graph is read.

A node may count the samples all the same: `zeros(x.shape[0], ...)`. It is computed for two numbers of samples, and
what comes out must be one value for all of them, or the same for each of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from tidegate.models.graph import BatchSize, Weight
from tidegate.models.importing.lowering.reader import Counted, Expanded, Reader, Value, call

_FEW, _MORE = 3, 5
"""Numbers of samples; sizes of a network's own are rarely multiples of both."""

_ROUNDING = 1e-6
"""Of a value, or of 1: sums in another order."""

_SIZE = "aten.sym_size.int"
_FILLED: Mapping[str, float | str] = {
    "aten.zeros_like.default": 0.0,
    "aten.new_zeros.default": 0.0,
    "aten.ones_like.default": 1.0,
    "aten.new_ones.default": 1.0,
    "aten.full_like.default": "fill_value",
    "aten.new_full.default": "fill_value",
    "aten.fill.Scalar": "value",
    "aten.fill.Tensor": "value",
}
"""What takes of a value its shape alone: with which number, or which argument has it."""
_CHECKS = ("aten._assert", "aten.sym_constrain", "aten._functional_assert")


@dataclass(frozen=True, slots=True)
class Known:
    """What a node gives for few samples and for more; one object where it doesn't count them."""

    few: Any
    more: Any

    @property
    def counts_samples(self) -> bool:
        """Whether the two may differ."""
        return self.few is not self.more


class Folding:
    """The nodes of one graph that are known without its input."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._known: dict[str, Known] = {}

    def take_weight(self, node: fx.Node, tensor: Tensor) -> None:
        """A placeholder that is a weight."""
        self._known[node.name] = Known(tensor, tensor)

    def value(self, node: fx.Node) -> tuple[Value] | None:
        """What a node has become; None where it depends on the input. Raises ExportError."""
        name = str(node.target)
        if name == _SIZE and node.args[1] == 0 and not self._is_known(node.args[0]):
            self._known[node.name] = Known(_FEW, _MORE)
        elif all(self._is_known(each) for each in node.all_input_nodes):
            self._known[node.name] = self._computed(node)
        elif (filled := self._filled(node)) is not None:
            self._known[node.name] = filled
        else:
            return None
        return (self._as_value(node, self._known[node.name]),)

    def _is_known(self, node: object) -> bool:
        return isinstance(node, fx.Node) and node.name in self._known

    def _filled(self, node: fx.Node) -> Known | None:
        """One number throughout, in the shape of a value; None for what is none."""
        number = _FILLED.get(str(node.target))
        if isinstance(number, str):
            number = call(node)[number]
        if self._is_known(number) and not self._known[number.name].counts_samples:  # type: ignore[union-attr]
            known = self._known[number.name].few  # type: ignore[union-attr]
            number = float(known) if isinstance(known, Tensor) and known.numel() == 1 else None
        value = node.meta.get("val")
        if not isinstance(number, int | float) or not isinstance(value, Tensor):
            return None
        few = torch.full(_sizes(value, _FEW), number, dtype=value.dtype)
        more = torch.full(_sizes(value, _MORE), number, dtype=value.dtype)
        return Known(few, few if few.shape == more.shape else more)

    def _computed(self, node: fx.Node) -> Known:
        counts = any(self._known[each.name].counts_samples for each in node.all_input_nodes)
        few = self._run(node, lambda known: known.few)
        return Known(few, self._run(node, lambda known: known.more) if counts else few)

    def _run(self, node: fx.Node, which: Callable[[Known], Any]) -> Any:
        def of(argument: fx.Node) -> Any:
            return which(self._known[argument.name])

        args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), of)
        function: Callable[..., Any] = node.target  # type: ignore[assignment]  # of call_function it is one
        try:
            with torch.no_grad():
                return function(*args, **_on_the_cpu(kwargs))
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            reason = str(error).partition("\n")[0]
            raise self._reader.refusal(node, f"{node.target} can't be computed beforehand: {reason}") from error

    def _as_value(self, node: fx.Node, known: Known) -> Value:
        few, more = known.few, known.more
        if not isinstance(few, Tensor):
            if isinstance(few, int | float) and known.counts_samples and few != more:
                return BatchSize() if (few, more) == (_FEW, _MORE) else Counted()
            return few if few is None or isinstance(few, int | float | str) else ()
        if not known.counts_samples or (few.shape == more.shape and _same(few, more)):
            return Weight(self._reader.keep_tensor(node, few))
        differing = [
            axis for axis, sizes in enumerate(zip(few.shape, more.shape, strict=True)) if len({*sizes}) > 1
        ]
        if len(differing) == 1 and few.ndim:
            (axis,) = differing
            # Of each sample one, or several that are the same for every sample: windows of an image.
            each = few.shape[axis] // _FEW
            row = few.narrow(axis, 0, each)
            times = [1] * few.ndim
            for tensor, count in ((few, _FEW), (more, _MORE)):
                times[axis] = count
                repeated = row.repeat(times)
                if repeated.shape != tensor.shape or not _same(tensor, repeated):
                    return Counted()
            return Expanded(Weight(self._reader.keep_tensor(node, row)))
        return Counted()


def _same(first: Tensor, second: Tensor) -> bool:
    """Whether they hold the same numbers: a layer rounds otherwise where it is asked for more samples at once."""
    if not first.is_floating_point():
        return torch.equal(first, second)
    return torch.allclose(first, second, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)


def _sizes(value: Tensor, samples: int) -> list[int]:
    """A traced value's shape for so many samples."""
    shape: tuple[Any, ...] = tuple(value.shape)
    return [_size(each.node.expr, samples) if isinstance(each, torch.SymInt) else each for each in shape]


def _size(expression: Any, samples: int) -> int:
    return int(expression.subs(dict.fromkeys(expression.free_symbols, samples)))


def is_check(node: fx.Node) -> bool:
    """Whether it only asserts something."""
    return str(node.target).startswith(_CHECKS)


def _on_the_cpu(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    return {**kwargs, **({"device": torch.device("cpu")} if kwargs.get("device") is not None else {})}
