"""A real broker for the tests that need one."""

import os
from collections.abc import Iterator

import pytest

from agent.fleet.broker import LocalBroker, find_mosquitto


@pytest.fixture
def mosquitto() -> None:
    """mosquitto is installed. Without it the test is skipped, and in CI it fails: nothing passes unseen."""
    if find_mosquitto() is None:
        reason = "mosquitto is not installed; ./install.sh test installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def broker(mosquitto: None) -> Iterator[LocalBroker]:
    """A running broker."""
    with LocalBroker() as running:
        yield running
