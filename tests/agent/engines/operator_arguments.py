"""Random arguments for any operator, drawn from what the table says of its parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import hypothesis.strategies as st
import numpy as np

from tidegate.models.graph import INPUT, Argument, BatchSize, Ref, Weight
from tidegate.models.graph.arguments import Shape
from tidegate.models.graph.operator import Domain, Operator

X = Ref(INPUT)

numbers = st.floats(-3, 3).map(lambda x: round(x, 2))
_positive = st.floats(0.25, 3).map(lambda x: round(x, 2))
_flags = st.booleans()
_sides = st.integers(1, 3)
_OUTPUTS = 16


@dataclass(frozen=True, slots=True)
class Drawn:
    """One call: its arguments, and the shapes of the weights among them by name."""

    args: tuple[Argument, ...]
    kwargs: Mapping[str, Argument] = field(default_factory=dict)
    weights: Mapping[str, Shape] = field(default_factory=dict)


class Drawing:
    """One call while it is drawn: what depends on each other is drawn once."""

    def __init__(self, draw: st.DrawFn, operator: Operator, shape: Shape) -> None:
        self._draw = draw
        self.shape = shape
        self.weights: dict[str, Shape] = {}
        by_place = [each for each in operator.parameters if not each.by_name]
        needed = sum(not each.optional for each in by_place)
        self._given = by_place[: draw(st.integers(needed, len(by_place)))]
        self._by_name = [each for each in operator.parameters if each.by_name and draw(_flags)]
        self.kernel = (draw(_sides), draw(_sides))
        self.stride = draw(st.sampled_from([(1, 1), (2, 2), (2, 1), (3, 2)]))
        self.limits = sorted((draw(numbers), draw(numbers)))
        self.by_size = draw(_flags)
        self.normalized = shape[draw(st.integers(0, len(shape) - 1)) :]
        self.has_scale = draw(_flags)
        divisors = [count for count in (1, 2, 4, 8) if shape[0] % count == 0]
        self.groups = draw(st.sampled_from(divisors)) if self.has(Domain.GROUPS) else 1

    def has(self, domain: Domain) -> bool:
        """Whether an argument of that kind is given by place."""
        return any(each.domain is domain for each in self._given)

    def done(self) -> Drawn:
        args = tuple(DOMAINS[each.domain](self, self._draw) for each in self._given)
        kwargs = {each.name: DOMAINS[each.domain](self, self._draw) for each in self._by_name}
        return Drawn(args, kwargs, self.weights)

    def weight(self, name: str, shape: Shape) -> Weight:
        self.weights[name] = shape
        return Weight(name)

    def axis(self) -> int:
        """Any but the samples', from the front or from behind."""
        axis = self._draw(st.integers(1, len(self.shape)))
        return axis if self._draw(_flags) else axis - len(self.shape) - 1


def _x(_: Drawing, __: st.DrawFn) -> Argument:
    return X


def _values(_: Drawing, __: st.DrawFn) -> Argument:
    return X, X


def _other(drawing: Drawing, draw: st.DrawFn) -> Argument:
    kind = draw(st.sampled_from(["value", "weight", "number"]))
    if kind == "weight":
        return drawing.weight("w", (drawing.shape[0], *[1] * (len(drawing.shape) - 1)))
    return X if kind == "value" else draw(numbers)


def _divisor(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(_positive) * draw(st.sampled_from([1, -1]))


def _number(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(numbers)


def _any_positive(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(_positive)


def _flag(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(_flags)


def _lower(drawing: Drawing, _: st.DrawFn) -> Argument:
    low, _high = drawing.limits
    # Without an upper limit that is 1.
    return low if drawing.has(Domain.UPPER) else min(low, 0.9)


def _upper(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.limits[1]


def _convolution_weight(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.weight("w", (_OUTPUTS, drawing.shape[0] // drawing.groups, *drawing.kernel))


def _transposed_weight(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.weight("w", (drawing.shape[0], _OUTPUTS // drawing.groups, *drawing.kernel))


def _linear_weight(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.weight("w", (_OUTPUTS, drawing.shape[-1]))


def _matrix(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.weight("w", (drawing.shape[-1], 4))


def _table(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.weight("w", (_OUTPUTS, 3))


def _bias(drawing: Drawing, draw: st.DrawFn) -> Argument:
    return drawing.weight("b", (_OUTPUTS,)) if draw(_flags) else None


def _scale(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.weight("w", _per_value(drawing)) if drawing.has_scale else None


def _shift(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.weight("b", _per_value(drawing)) if drawing.has_scale else None


def _per_value(drawing: Drawing) -> Shape:
    """The shape of weights behind a norm: that of what it norms, or one per channel."""
    return drawing.normalized if drawing.has(Domain.NORMALIZED) else drawing.shape[:1]


def _kernel(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.kernel


def _stride(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.stride


def _padding(drawing: Drawing, draw: st.DrawFn) -> Argument:
    return tuple(draw(st.integers(0, size // 2)) for size in drawing.kernel)


def _dilation(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(st.sampled_from([(1, 1), (2, 1)]))


def _output_padding(drawing: Drawing, draw: st.DrawFn) -> Argument:
    return tuple(draw(st.integers(0, step - 1)) for step in drawing.stride)


def _groups(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.groups


def _average_divisor(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(st.sampled_from([None, None, 3, -2]))


def _image_size(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(st.integers(1, 7)), draw(st.integers(1, 6))


def _wanted_size(drawing: Drawing, draw: st.DrawFn) -> Argument:
    return (draw(st.integers(3, 15)), draw(st.integers(3, 15))) if drawing.by_size else None


def _factors(drawing: Drawing, draw: st.DrawFn) -> Argument:
    return None if drawing.by_size else (draw(st.floats(0.6, 2.6)), draw(st.floats(0.6, 2.6)))


def _axis(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.axis()


def _axes(drawing: Drawing, draw: st.DrawFn) -> Argument:
    # At least one axis stays, or there is no value per sample to go on with.
    rank = len(drawing.shape)
    return tuple(draw(st.lists(st.integers(1, rank), min_size=1, max_size=rank - 1, unique=True)))


def _last_axis(drawing: Drawing, draw: st.DrawFn) -> Argument:
    return draw(st.sampled_from([-1, len(drawing.shape)]))


def _order(drawing: Drawing, draw: st.DrawFn) -> Argument:
    return 0, *draw(st.permutations(range(1, len(drawing.shape) + 1)))


def _normalized(drawing: Drawing, _: st.DrawFn) -> Argument:
    return drawing.normalized


def _sizes(drawing: Drawing, draw: st.DrawFn) -> Argument:
    size = int(np.prod(drawing.shape))
    first = draw(st.sampled_from([BatchSize(), -1]))
    return first, *draw(st.sampled_from([(size,), (drawing.shape[0], size // drawing.shape[0]), (2, size // 2)]))


def _pads(_: Drawing, draw: st.DrawFn) -> Argument:
    return tuple(draw(st.integers(-1, 2)) for _ in range(2 * draw(st.integers(1, 2))))


def _start(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(st.sampled_from([0, 1, 2, -3]))


def _end(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(st.sampled_from([4, 5, -1, 9**9, 2**31]))


def _step(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(st.integers(1, 2))


def _gelu_formula(_: Drawing, draw: st.DrawFn) -> Argument:
    return draw(st.sampled_from(["none", "tanh"]))


DOMAINS: Mapping[Domain, Callable[[Drawing, st.DrawFn], Argument]] = {
    Domain.X: _x,
    Domain.POSITIVE_X: _x,
    Domain.VALUES: _values,
    Domain.OTHER: _other,
    Domain.DIVISOR: _divisor,
    Domain.NUMBER: _number,
    Domain.POSITIVE: _any_positive,
    Domain.FLAG: _flag,
    Domain.LOWER: _lower,
    Domain.UPPER: _upper,
    Domain.CONVOLUTION_WEIGHT: _convolution_weight,
    Domain.TRANSPOSED_WEIGHT: _transposed_weight,
    Domain.LINEAR_WEIGHT: _linear_weight,
    Domain.MATRIX: _matrix,
    Domain.TABLE: _table,
    Domain.ROW_NUMBERS: _x,
    Domain.BIAS: _bias,
    Domain.SCALE: _scale,
    Domain.SHIFT: _shift,
    Domain.KERNEL: _kernel,
    Domain.STRIDE: _stride,
    Domain.PADDING: _padding,
    Domain.DILATION: _dilation,
    Domain.OUTPUT_PADDING: _output_padding,
    Domain.GROUPS: _groups,
    Domain.AVERAGE_DIVISOR: _average_divisor,
    Domain.IMAGE_SIZE: _image_size,
    Domain.WANTED_SIZE: _wanted_size,
    Domain.FACTORS: _factors,
    Domain.AXIS: _axis,
    Domain.AXES: _axes,
    Domain.LAST_AXIS: _last_axis,
    Domain.ORDER: _order,
    Domain.NORMALIZED: _normalized,
    Domain.SIZES: _sizes,
    Domain.PADS: _pads,
    Domain.START: _start,
    Domain.END: _end,
    Domain.STEP: _step,
    Domain.GELU_FORMULA: _gelu_formula,
}

_OF_IMAGES = frozenset(
    {
        Domain.CONVOLUTION_WEIGHT,
        Domain.TRANSPOSED_WEIGHT,
        Domain.KERNEL,
        Domain.IMAGE_SIZE,
        Domain.WANTED_SIZE,
    }
)


def takes_images_only(operator: Operator) -> bool:
    """Whether it looks at height and width."""
    return any(each.domain in _OF_IMAGES for each in operator.parameters)


def draw_call(draw: st.DrawFn, operator: Operator, shape: Shape) -> Drawn:
    """A call on a value of that shape, per sample."""
    return Drawing(draw, operator, shape).done()
