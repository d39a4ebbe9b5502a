"""int4 inside int8: down and up again is the same weight, bit by bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tidegate.models.ladder import Precision
from tidegate.models.precision import (
    Int4Weight,
    Int8Weight,
    fake_quantized,
    pack_nibbles,
    split,
    store,
    unpack_nibbles,
)

WEIGHTS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=5),
    elements=st.floats(-1e4, 1e4, width=32, allow_subnormal=False),
)


@given(WEIGHTS)
def test_8_to_4_to_8_is_bit_identical(weight: np.ndarray) -> None:
    int8 = store(weight, Precision.INT8)
    assert isinstance(int8, Int8Weight)
    int4, low = split(int8)
    back = int4.joined(low)
    assert torch.equal(back.values, int8.values)
    assert back.values.dtype == int8.values.dtype
    assert torch.equal(back.scales, int8.scales)


@given(hnp.arrays(np.int8, st.integers(1, 9), elements=st.integers(-8, 7)))
def test_nibbles_come_back(values: np.ndarray) -> None:
    tensor = torch.from_numpy(values)
    packed = pack_nibbles(tensor)
    assert packed.nbytes == -(-len(values) // 2)
    assert torch.equal(unpack_nibbles(packed, tensor.shape), tensor)


@given(WEIGHTS)
def test_int4_is_off_by_at_most_half_its_step(weight: np.ndarray) -> None:
    int4 = store(weight, Precision.INT4)
    assert isinstance(int4, Int4Weight)
    step = 16 * int4.scales.numpy()
    assert (np.abs(int4.dequantize().numpy() - weight) <= step * 0.5626 + 1e-6).all()


def test_int4_holds_half_a_byte_each_and_the_scales() -> None:
    assert store(np.ones((16, 64, 3, 3), np.float32), Precision.INT4).nbytes == 16 * 64 * 9 // 2 + 16 * 4


def test_rounded_nibbles_beat_cut_ones() -> None:
    weight = np.random.default_rng(0).normal(size=(16, 256)).astype(np.float32)
    int8 = store(weight, Precision.INT8)
    assert isinstance(int8, Int8Weight)
    cut = ((int8.values.to(torch.int16) >> 4) * 16 * int8.scales).numpy()
    error = np.square(store(weight, Precision.INT4).dequantize().numpy() - weight).mean()
    assert error < 0.5 * np.square(cut - weight).mean()


@pytest.mark.parametrize("bits", range(2, 9))
def test_fake_quantized_widths_have_that_many_levels(bits: int) -> None:
    weight = np.random.default_rng(1).normal(size=(3, 4000)).astype(np.float32)
    levels = [len(np.unique(channel)) for channel in fake_quantized(weight, bits)]
    assert max(levels) <= 2**bits - 1
    assert max(levels) > 2 ** (bits - 1) - 1


def test_simulating_other_widths_is_refused() -> None:
    with pytest.raises(ValueError, match="2 to 8"):
        fake_quantized(np.ones((2, 2), np.float32), 1)
