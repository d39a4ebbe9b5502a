"""Bitmap and values: nothing lost, no byte uncounted, no saving claimed below the break-even."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tidegate.models.encoding import (
    break_even_sparsity,
    decode,
    dense_bytes,
    encode,
    encoded_bytes,
    stored_bytes,
)


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
    assert encoded.nbytes == encoded_bytes(len(codes), int(np.count_nonzero(codes)), bits)


def test_floats_survive_as_their_bit_patterns() -> None:
    values = np.array([0.0, -0.0, 1.5, np.nan, np.inf, 1e-45], np.float32)
    back = decode(encode(values.view(np.uint32), 32)).view(np.float32)
    assert back.tobytes() == values.tobytes()


@pytest.mark.parametrize("bits", [2, 4, 8, 32])
def test_the_bitmap_pays_only_above_the_break_even(bits: int) -> None:
    elements = 8000
    at_break_even = round(elements * (1 - break_even_sparsity(bits)))
    assert encoded_bytes(elements, at_break_even, bits) == dense_bytes(elements, bits)
    assert encoded_bytes(elements, at_break_even + 8, bits) > dense_bytes(elements, bits)
    assert encoded_bytes(elements, at_break_even - 8, bits) < dense_bytes(elements, bits)
    assert stored_bytes(elements, elements, bits) == dense_bytes(elements, bits)


@pytest.mark.parametrize(("codes", "bits"), [([4], 2), ([1], 0), ([1], 33)])
def test_what_does_not_fit_is_refused(codes: list[int], bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        encode(np.array(codes, np.uint32), bits)
