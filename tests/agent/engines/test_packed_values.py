"""What packed does to values between kernels: AA-ReLU and scores give what the reference gives, in every form."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from tidegate.engines.fusion import Adaptation
from tidegate.engines.packed.adapting import adapter
from tidegate.engines.packed.forms import dequantize, quantize
from tidegate.engines.packed.scores import as_kept
from tidegate.engines.quantization import Grid
from tidegate.models.aa_relu import adapted
from tidegate.models.gates import ActivityGate, GateInput
from tidegate.models.gates.activity import mean_abs, score_of
from tidegate.models.ladder import Activation, Activity

SETTINGS = st.builds(
    Activation,
    st.sampled_from([0.0, 0.05, 0.1, 0.5, 30.0]),
    st.sampled_from([0.3, 1.0, 7.0]),
    st.sampled_from([None, 2, 4, 8]),
)
FLOORS = st.sampled_from([0.0, -0.17, None])
ALL_CODES = torch.arange(256, dtype=torch.uint8)


def values(floor: float | None) -> torch.Tensor:
    """Many values, and those at which something changes."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=500).astype(np.float32))
    edges = torch.tensor([0.0, 0.05, 0.1, 0.3, 0.5, 1.0, 7.0, 30.0])
    x = torch.cat([x, edges, -edges, torch.nextafter(edges, edges - 1)])
    return x if floor is None else x.clamp_min(floor)


@given(setting=SETTINGS, floor=FLOORS)
def test_in_float32_it_is_the_reference_bit_by_bit(setting: Activation, floor: float | None) -> None:
    x = values(floor)
    expected = adapted(x, setting, floor)
    found = adapter(Adaptation(setting, floor), torch.float32)(x.clone())
    assert torch.equal(found, expected)


@given(setting=SETTINGS, scale=st.floats(0.002, 0.2), zero=st.sampled_from([0, 100]))
def test_codes_get_what_their_values_get(setting: Activation, scale: float, zero: int) -> None:
    grid = Grid(scale, zero)
    floor = None if zero else 0.0
    x = dequantize(ALL_CODES, grid)
    near = (x.abs() - setting.threshold).abs() < 1e-6 * max(1.0, setting.threshold)
    expected = quantize(adapted(x, setting, floor), grid)
    found = adapter(Adaptation(setting, floor), grid)(ALL_CODES.clone())
    # A value that equals the threshold but for its last bit may fall on either side.
    assert torch.equal(found[~near], expected[~near])


GATE = ActivityGate(0.5, score_of(Activity.MEAN_ABS), 1)
X = torch.rand(3, 4, 5, 5)


@pytest.mark.parametrize("form", [torch.float32, torch.bfloat16, Grid(0.01, 0), Grid(0.01, 60)])
def test_a_score_of_kept_values_is_the_score(form: torch.dtype | Grid) -> None:
    kept = quantize(X, form) if isinstance(form, Grid) else X.to(form)
    wide = dequantize(kept, form) if isinstance(form, Grid) else kept.float()
    gate = as_kept(GATE, Activity.MEAN_ABS, form, never_negative=True)
    found = gate.score(GateInput(kept, widen=lambda _: wide))
    assert torch.allclose(found, mean_abs(wide), rtol=1e-5)


def test_where_values_may_be_negative_and_for_other_activities_nothing_changes() -> None:
    assert as_kept(GATE, Activity.MEAN_ABS, torch.float32, never_negative=False) is GATE
    other = ActivityGate(0.5, score_of(Activity.RMS), 1)
    assert as_kept(other, Activity.RMS, Grid(0.01, 0), never_negative=True) is other
