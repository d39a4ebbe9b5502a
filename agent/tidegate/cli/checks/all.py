"""Every check of an agent's configuration and of the device it is for."""

from pathlib import Path

from tidegate.cli.checks.broker import check_broker
from tidegate.cli.checks.check import Check
from tidegate.cli.checks.configuration import check_configuration
from tidegate.cli.checks.device import check_device


def check_all(path: Path) -> tuple[Check, ...]:
    """In the order in which they matter; tries the broker, changes nothing."""
    found = check_configuration(path)
    if found.config is None:
        return found.checks
    device = tuple(check_device(found.config))
    broker = () if found.broker is None else tuple(check_broker(found.broker))
    return (*found.checks, *device, *broker)
