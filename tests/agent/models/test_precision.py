"""What rounding a weight costs and what it saves."""

import numpy as np
import pytest
import torch

from tidegate.models.ladder import Precision
from tidegate.models.precision import INT8_LEVELS, Int8Weight, store

SHAPES = [(8, 4, 3, 3), (10, 48), (1, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_int8_is_off_by_at_most_half_a_step_of_its_channel(shape: tuple[int, ...]) -> None:
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    step = np.abs(weight).reshape(len(weight), -1).max(1) / INT8_LEVELS
    error = np.abs(store(weight, Precision.INT8).dequantize().numpy() - weight).reshape(len(weight), -1).max(1)
    assert (error <= step * 0.5001).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_high_nibble_of_int8_is_a_zero_centred_int4(shape: tuple[int, ...]) -> None:
    stored = store(np.random.default_rng(1).normal(size=shape).astype(np.float32), Precision.INT8)
    assert isinstance(stored, Int8Weight)
    nibble = torch.round(stored.values.float() / 16)
    assert nibble.abs().max() <= 7


def test_bf16_keeps_eight_bits_of_each_value() -> None:
    weight = np.random.default_rng(2).normal(size=(8, 64)).astype(np.float32)
    widened = store(weight, Precision.BF16).dequantize().numpy()
    assert (np.abs(widened - weight) <= 2.0**-8 * np.abs(weight)).all()


def test_bytes_held_are_a_half_and_a_quarter() -> None:
    weight = np.ones((16, 64, 3, 3), np.float32)
    held = {precision: store(weight, precision).nbytes for precision in Precision}
    assert held[Precision.FP32] == weight.nbytes
    assert held[Precision.BF16] == weight.nbytes // 2
    assert held[Precision.INT8] == weight.nbytes // 4 + 16 * 4


def test_vectors_and_fp32_are_exact_copies() -> None:
    bias = np.random.default_rng(3).normal(size=7).astype(np.float32)
    for precision in Precision:
        assert np.array_equal(store(bias, precision).dequantize().numpy(), bias)
    weight = np.ones((2, 2), np.float32)
    stored = store(weight, Precision.FP32)
    weight[:] = 5
    assert stored.dequantize().max() == 1


def test_a_channel_of_zeros_stays_zero() -> None:
    weight = np.zeros((2, 3), np.float32)
    weight[1] = [1, -2, 3]
    assert np.array_equal(store(weight, Precision.INT8).dequantize()[0].numpy(), np.zeros(3))
