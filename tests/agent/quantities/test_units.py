"""Quantities: exact, in base units, and never of the wrong kind."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from tidegate.quantities.units import (
    DURATION,
    ENERGY,
    FREQUENCY,
    LATENCY,
    MEMORY,
    PERCENT,
    POWER,
    RATE,
    SHARE,
    TEMPERATURE,
    quantity,
)


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


@pytest.mark.parametrize(
    ("value", "dimension", "hint"),
    [
        (0.015, SHARE, "write `1.5 %`"),
        ("0.015", SHARE, "write `1.5 %`"),
        ("0,015", SHARE, "decimals stand behind a point: write `1.5 %`"),
        (0.5, SHARE, "which is meant: `50 %` or `0.5 %`?"),
        (1, SHARE, "which is meant: `100 %` or `1 %`?"),
        (1.5, SHARE, "write `1.5 %`"),
        (150, SHARE, "for example `1.5 %`"),
        ("1,5 %", SHARE, "decimals stand behind a point: write `1.5 %`"),
        ("2 ‰", SHARE, "write `0.2 %`"),
        ("3 percent", SHARE, "write `3 %`"),
        (0.2, PERCENT, "which is meant: `20 %` or `0.2 %`?"),
        (20, PERCENT, "write `20 %`"),
        (-5, PERCENT, "for example `20 %`"),
        (80, TEMPERATURE, "write `80 C`"),
        ("80", TEMPERATURE, "write `80 C`"),
        (-20, TEMPERATURE, "write `-20 C`"),
        (353, TEMPERATURE, "for example `80 C`"),
        ("180 F", TEMPERATURE, "write `82.222 C`"),
        ("80 celsius", TEMPERATURE, "write `80 C`"),
        (3, POWER, "write `3 W`"),
        (3000, POWER, "write `3000 mW`"),
        (500, POWER, "which is meant: `500 W` or `500 mW`?"),
        ("3 MW", POWER, "for example `3 W`"),
        ("1,500 mW", POWER, "decimals stand behind a point: which is meant: `1.5 mW` or `1500 mW`?"),
        (256, MEMORY, "which is meant: `256 MiB` or `256 GiB`?"),
        (268435456, MEMORY, "write `268435456 B`"),
        ("256M", MEMORY, "which is meant: `256 MiB` or `256 MB`?"),
        (50, LATENCY, "write `50 ms`"),
        (0.05, LATENCY, "write `0.05 s`"),
        (5, LATENCY, "which is meant: `5 ms` or `5 s`?"),
        (5, DURATION, "write `5 s`"),
        (5000, DURATION, "which is meant: `5000 s` or `5000 ms`?"),
        (0.5, RATE, "write `0.5 Hz`"),
        (1.2, FREQUENCY, "write `1.2 GHz`"),
        (0.24, ENERGY, "which is meant: `0.24 Wh` or `0.24 kWh`?"),
    ],
)
def test_a_hint_is_a_line_with_the_meaning_or_asks_for_it(value, dimension, hint):
    with pytest.raises(PydanticCustomError) as caught:
        quantity(value, dimension)
    assert caught.value.context["hint"] == hint


@given(st.decimals(-1000, 10**9, places=3).map(float) | st.integers(-1000, 10**9))
def test_every_line_that_a_hint_suggests_can_be_written(value):
    for dimension in (SHARE, PERCENT, TEMPERATURE, POWER, MEMORY, LATENCY, DURATION, RATE, FREQUENCY, ENERGY):
        with pytest.raises(PydanticCustomError) as caught:
            quantity(value, dimension)
        for line in re.findall("`([^`]*)`", caught.value.context["hint"]):
            quantity(line, dimension)
