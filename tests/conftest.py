"""A real broker for the tests that need one, and properties that no clock fails."""

import gc
import os
import signal
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tidegate.engines.runtime import memory
from tidegate.fleet.broker import LocalBroker, find_mosquitto

# Processes that tests start, dozens of agents among them, would compile the whole of tidegate each for itself, and
# every worker of every run all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Threads of torch wait for each other by spinning. With a test worker on each core the one waited for has no core
# to run on: training on two threads takes many times the processor time. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Networks of tests are small: on two threads torch takes a quarter more processor time for them than on one. Tests
# of threads set their number themselves.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell without job control has what it starts in the background ignore SIGINT; so would the commands that tests
# end by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What is imported for the tests stays to the end: no collection has to walk it again and again.
gc.disable()

# On a busy machine a deadline fails of nothing; what a test takes is the time limit's of the whole run.
_SLOW = [HealthCheck.too_slow]
settings.register_profile("untimed", settings(), max_examples=50, deadline=None, suppress_health_check=_SLOW)
# For whoever changes what a property is about: pytest --hypothesis-profile thorough tests/agent/policy
settings.register_profile("thorough", settings(), max_examples=2000, deadline=None, suppress_health_check=_SLOW)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest come first, those with agents among them: at the end no worker waits for another."""
    agents = {"start_agent", "shared_agent", "agent_with_few_files", "listeners"}
    long = {
        item.path
        for item in items
        if item.get_closest_marker("long") or agents & set(getattr(item, "fixturenames", ()))
    }
    items.sort(key=lambda item: item.path not in long)


def pytest_collection_finish() -> None:
    """From here on garbage is collected, but for what was imported."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def kept_memory() -> Iterator[None]:
    """This process gives no memory back: five runtimes would be mapped anew at each point that a test prepares."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "_returning", lambda: None)
        yield


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
