"""A broker on this machine, which has sent all that it retained in moments."""

import pytest

from tidegate.fleet import listener


@pytest.fixture(autouse=True)
def near_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The silence that ends what a broker had retained: a second is for those far away."""
    monkeypatch.setattr(listener, "_QUIET_S", 0.25)
