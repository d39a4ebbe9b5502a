"""AA-ReLU: neutral settings change not one bit, others do what the formula says."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.nn import functional

from tidegate.models.aa_relu import UniformQuantizer, adapted
from tidegate.models.ladder import Activation

FUNCTIONS = {
    "relu": (torch.relu, 0.0),
    "relu6": (functional.relu6, 0.0),
    "gelu": (functional.gelu, -0.17),
    "silu": (functional.silu, -0.2785),
}
VALUES = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(width=32))
FINITE = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(-50, 50, width=32))
BITS = st.integers(2, 8)


def bits_of(values: torch.Tensor) -> list[int]:
    return values.view(torch.int32).tolist()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("neutral", [Activation(threshold=0.0), Activation(clip=math.inf)])
@given(values=VALUES)
def test_threshold_0_and_clip_inf_are_the_original_bit_by_bit(
    function: str, neutral: Activation, values: np.ndarray
) -> None:
    compute, floor = FUNCTIONS[function]
    original = compute(torch.from_numpy(values))
    assert bits_of(adapted(original, neutral, floor)) == bits_of(original)


@pytest.mark.parametrize("function", FUNCTIONS)
@given(values=FINITE, threshold=st.floats(0, 5), clip=st.floats(0.125, 10))
def test_small_values_become_zero_and_large_ones_the_clip(
    function: str, values: np.ndarray, threshold: float, clip: float
) -> None:
    compute, floor = FUNCTIONS[function]
    original = compute(torch.from_numpy(values))
    for before, after in zip(
        original.tolist(), adapted(original, Activation(threshold, clip), floor).tolist(), strict=True
    ):
        expected = 0.0 if abs(before) < np.float32(threshold) else max(-clip, min(before, clip))
        assert after == pytest.approx(expected)


@given(values=FINITE, bits=BITS, clip=st.floats(0.5, 20), floor=st.sampled_from([0.0, -0.17, None]))
def test_rounding_is_off_by_half_a_step_and_needs_no_more_than_its_bits(
    values: np.ndarray, bits: int, clip: float, floor: float | None
) -> None:
    setting = Activation(clip=clip, bits=bits)
    low = -clip if floor is None else floor
    inside = torch.from_numpy(values).clamp(low, clip)
    rounded = adapted(inside, setting, floor)
    step = (clip - max(low, -clip)) / (2**bits - 1)
    assert (rounded - inside).abs().max() <= step * 1.001
    codes = UniformQuantizer.of(setting, floor).quantize(inside)
    assert codes.max() - codes.min() < 2**bits
    assert (rounded[inside == 0] == 0).all()


@given(values=FINITE, bits=BITS, floor=st.sampled_from([0.0, None]))
def test_rounding_twice_is_rounding_once(values: np.ndarray, bits: int, floor: float | None) -> None:
    setting = Activation(clip=8.0, bits=bits)
    once = adapted(torch.from_numpy(values).clamp(0.0 if floor == 0 else -8.0, 8.0), setting, floor)
    assert torch.equal(adapted(once, setting, floor), once)


@pytest.mark.parametrize(
    "wrong", [{"threshold": -1.0}, {"threshold": math.inf}, {"clip": 0.0}, {"bits": 8}, {"clip": 1.0, "bits": 9}]
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"allowed|must be"):
        Activation(**wrong)
