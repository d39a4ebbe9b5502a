"""How activations and weights become 8-bit integers, the same for every engine. No torch here."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tidegate.engines.engine import UnsupportedPoint

LEVELS = 255
WEIGHT_LIMIT = 119
"""As in tidegate.models.precision: the high nibble of a code is then a valid zero-centred int4."""

WEIGHT_LIMIT_WITHOUT_VNNI = 63
"""Without VNNI, pairs of u8 x s8 products are added in 16 bits and saturate; 7-bit weights keep them within."""


MAX_BIAS_CODE = 2**30
"""Half of what 32 bits hold: the products are added to it."""


class MissingRange(UnsupportedPoint):
    """A ladder lacks the range of a value that a point keeps in 8 bits: the bundle is incomplete."""


WIDE = 0.08
"""Of `Range.error`: above it a value is on a grid too coarse for most of its channels. In all-MiniLM-L6-v2, where
single channels stand far out, it is .1 to 1.2 behind norms and MLPs; in six networks without such channels at most
.075."""


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the largest value seen of an activation.

    `error` is what rounding to the range's grid costs (root mean square), by how far nine tenths of the values lie
    from their middle (mean distance of the nearest from the median); 0 where nobody measured it.
    """

    low: float
    high: float
    error: float = 0.0

    @property
    def is_wide(self) -> bool:
        """Whether most values share a few codes of the grid, since others stand far out."""
        return self.error > WIDE

    def union(self, other: "Range") -> "Range":
        """The smallest range that holds both."""
        return Range(min(self.low, other.low), max(self.high, other.high))

    @classmethod
    def of(cls, values: npt.NDArray[np.float32]) -> "Range":
        """The range of an array."""
        return cls(float(values.min()), float(values.max()))


@dataclass(frozen=True, slots=True)
class QuantParams:
    """uint8 codes of an activation: value = (code - zero_point) * scale."""

    scale: float
    zero_point: int

    @classmethod
    def over(cls, span: Range) -> "QuantParams":
        """The grid that covers a range and has 0 on it (padding and skipped values are 0).

        The scale is rounded up to 8 significant bits: engines and processors differ in the last bits of the range
        they see, and the grid, with it the certified answers, must not.
        """
        low, high = min(span.low, 0.0), max(span.high, 0.0)
        scale = _rounded_up((high - low) / LEVELS) if high > low else 1.0
        return cls(scale, min(LEVELS, max(0, round(-low / scale))))


@dataclass(frozen=True, slots=True)
class QuantizedWeight:
    """int8 codes of a weight with one scale per output channel (axis 0); zero is 0."""

    codes: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]

    @property
    def nbytes(self) -> int:
        """Bytes held, scales included."""
        return self.codes.nbytes + self.scales.nbytes


def quantize_weight(weight: npt.NDArray[np.float32], limit: int) -> QuantizedWeight:
    """Symmetric rounding to -limit..limit, each output channel by its own largest value."""
    rows = weight.reshape(len(weight), -1)
    largest = np.abs(rows).max(1)
    scales = np.where(largest > 0, largest / np.float32(limit), np.float32(1)).astype(np.float32)
    codes = np.rint(rows / scales[:, None]).astype(np.int8).reshape(weight.shape)
    return QuantizedWeight(codes, scales)


def with_room_for_bias(
    weight: QuantizedWeight, bias: npt.NDArray[np.float32], input_scale: float
) -> QuantizedWeight:
    """The weight, on a coarser grid in channels whose bias in units of input scale x weight scale has no code.

    Those are channels with next to no weights: what the coarser grid loses is some billionths of the bias.
    """
    least = np.abs(bias.astype(np.float64)) / (MAX_BIAS_CODE * input_scale)
    narrow = weight.scales < least
    if not narrow.any():
        return weight
    # Rounded up, so that float32 keeps it above.
    scales = np.where(narrow, np.nextafter((least * (1 + 1e-6)).astype(np.float32), np.inf), weight.scales)
    ratio = (weight.scales / scales).reshape(-1, *[1] * (weight.codes.ndim - 1))
    return QuantizedWeight(np.rint(weight.codes * ratio).astype(np.int8), scales.astype(np.float32))


def as_int4(eight: QuantizedWeight) -> QuantizedWeight:
    """The rounded high nibbles, -7..7, of codes within `WEIGHT_LIMIT`: the weight's int4 form."""
    high = (eight.codes.astype(np.int16) + 8) >> 4
    return QuantizedWeight(high.astype(np.int8), eight.scales * np.float32(16))


def range_of(ranges: Mapping[str, Range], name: str) -> Range:
    """The range of a value, by name. Raises MissingRange."""
    span = ranges.get(name)
    if span is None:
        raise MissingRange(
            f"the ladder has no range for the value {name!r}, which this point keeps in 8 bits; "
            "build the bundle again with `tidegate bundle build`"
        )
    return span


def union(spans: Iterable[Range]) -> Range:
    """The smallest range that holds all of at least one."""
    first, *rest = spans
    for span in rest:
        first = first.union(span)
    return first


def _rounded_up(value: float) -> float:
    mantissa, exponent = math.frexp(value)
    return math.ldexp(math.ceil(mantissa * 256) / 256, exponent)
