"""What the table calls quantization-agnostic gives only values of its input: one scale serves on both sides."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from operator_arguments import draw_call, takes_images_only

from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.graph import Node, Segment
from tidegate.models.graph.operator import Operator, Quantization
from tidegate.models.graph.operators import OPERATORS

AGNOSTIC = [record for record in OPERATORS.values() if record.quantization is Quantization.AGNOSTIC]

_sides = st.integers(3, 9)
# Reshaping halves the first axis and the whole, so that both are even.
IMAGES = st.tuples(st.sampled_from([2, 4, 6]), _sides, _sides)
TOKENS = st.tuples(_sides, st.sampled_from([2, 4, 8]))


@pytest.mark.parametrize("operator", AGNOSTIC, ids=[record.name for record in AGNOSTIC])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_every_value_that_comes_out_went_in(data: st.DataObject, seed: int, operator: Operator) -> None:
    shape = data.draw(IMAGES if takes_images_only(operator) else st.one_of(IMAGES, TOKENS))
    call = data.draw(st.composite(draw_call)(operator, shape))
    x = torch.randn((2, *shape), generator=torch.Generator().manual_seed(seed))
    node = Node("op", operator.name, call.args, shape, call.kwargs)
    try:
        out = Interpreter(Segment("s", shape, (node,)), {})(x)
    except RuntimeError:
        # Arguments that torch itself refuses, such as a slice that leaves nothing.
        assume(False)
        raise
    assert torch.isin(out, x).all()
