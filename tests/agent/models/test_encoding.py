"""Bitmap and values: nothing lost, no byte uncounted, no saving claimed below the break-even."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tidegate.models.encoding import dense_bytes, encoded_bytes, stored_bytes

Codes = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """`elements` codes of `bits` bits: one bitmap bit each, then the non-zero codes packed one after the other."""

    elements: int
    bits: int
    bitmap: bytes
    values: bytes


def encode(codes: Codes, bits: int) -> Encoded:
    """The encoding that is counted, of codes (n,) below 2^bits."""
    present = codes != 0
    planes = (codes[present, None] >> np.arange(bits, dtype=np.uint32)) & 1
    packed = np.packbits(planes.astype(np.uint8))
    return Encoded(len(codes), bits, np.packbits(present).tobytes(), packed.tobytes())


def decode(encoded: Encoded) -> Codes:
    """The codes that were encoded."""
    bits = encoded.bits
    present = np.unpackbits(np.frombuffer(encoded.bitmap, np.uint8), count=encoded.elements).astype(bool)
    count = int(present.sum())
    planes = np.unpackbits(np.frombuffer(encoded.values, np.uint8), count=count * bits).reshape(count, bits)
    codes = np.zeros(encoded.elements, np.uint32)
    codes[present] = (planes.astype(np.uint64) << np.arange(bits, dtype=np.uint64)).sum(1)
    return codes


@st.composite
def coded(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    bits = draw(st.integers(1, 32))
    sparse = st.one_of(st.just(0), st.integers(0, 2**bits - 1))
    return draw(hnp.arrays(np.uint32, st.integers(0, 70), elements=sparse)), bits


@given(coded())
def test_lossless_and_as_long_as_the_formula_says(case: tuple[np.ndarray, int]) -> None:
    codes, bits = case
    encoded = encode(codes, bits)
    assert np.array_equal(decode(encoded), codes)
    assert len(encoded.bitmap) + len(encoded.values) == encoded_bytes(
        len(codes), int(np.count_nonzero(codes)), bits
    )


@pytest.mark.parametrize("bits", [2, 4, 8, 32])
def test_the_bitmap_pays_only_above_the_break_even(bits: int) -> None:
    elements = 8000
    at_break_even = round(elements * (1 - 1 / bits))
    assert encoded_bytes(elements, at_break_even, bits) == dense_bytes(elements, bits)
    assert encoded_bytes(elements, at_break_even + 8, bits) > dense_bytes(elements, bits)
    assert encoded_bytes(elements, at_break_even - 8, bits) < dense_bytes(elements, bits)
    assert stored_bytes(elements, elements, bits) == dense_bytes(elements, bits)
