"""Quantities: exact, in base units, and never of the wrong kind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from agent.policy.units import DURATION, MEMORY, PERCENT, POWER, SHARE, TEMPERATURE, quantity


@pytest.mark.parametrize(
    ("text", "dimension", "base"),
    [
        ("80 C", TEMPERATURE, 80.0),
        ("-20.5°C", TEMPERATURE, -20.5),
        ("20 %", PERCENT, 20.0),
        ("0.7 %", SHARE, 0.007),
        ("1.5%", SHARE, 0.015),
        ("3 W", POWER, 3.0),
        ("250 mW", POWER, 0.25),
        ("512 MiB", MEMORY, 512 * 1024 * 1024),
        ("1 GB", MEMORY, 1e9),
        ("50 ms", DURATION, 0.05),
        ("2 min", DURATION, 120.0),
        ("1 h", DURATION, 3600.0),
        (" 7 d ", DURATION, 604800.0),
    ],
)
def test_base_units(text, dimension, base):
    assert quantity(text, dimension) == base


@pytest.mark.parametrize(
    "value", ["", "C", "80", 80, 80.5, True, None, [], "8O C", "80 C C", "1e3 C", "٣ C", "nan C"]
)
def test_anything_else_is_refused_with_what_is_allowed(value):
    with pytest.raises(PydanticCustomError) as caught:
        quantity(value, TEMPERATURE)
    assert caught.value.context["allowed"] == "a number followed by C or °C"


@given(st.text() | st.integers() | st.floats() | st.none())
def test_total(value):
    for dimension in (TEMPERATURE, PERCENT, SHARE, POWER, MEMORY, DURATION):
        try:
            base = quantity(value, dimension)
        except PydanticCustomError:
            continue
        assert dimension.least <= base <= dimension.most
