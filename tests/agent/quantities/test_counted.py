"""Counts read as English."""

import pytest

from tidegate.quantities.counted import counted


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 devices"), (1, "1 device"), (2, "2 devices"), (10_000, "10,000 devices")]
)
def test_one_is_singular(count: int, said: str) -> None:
    assert counted(count, "device") == said
