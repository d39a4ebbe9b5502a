"""Every check of an agent's configuration and of the device it is for."""

from pathlib import Path

from tidegate.cli.checks.broker import check_broker
from tidegate.cli.checks.check import Check
from tidegate.cli.checks.configuration import check_configuration
from tidegate.cli.checks.device import check_device
from tidegate.cli.checks.network import check_unit
from tidegate.cli.checks.placement import check_placement
from tidegate.cli.checks.signers import check_signers
from tidegate.paths import cache_directory


def check_all(path: Path) -> tuple[Check, ...]:
    """In the order in which they matter; tries the broker, changes nothing."""
    found = check_configuration(path)
    if found.config is None:
        return found.checks
    device = (*check_device(found.config), *check_signers(found.config))
    placement = check_placement(found.config.worker.engine, cache_directory())
    broker = () if found.broker is None else tuple(check_broker(found.broker))
    # Here a fault: what is tried of the broker above is tried outside of the unit.
    unit = check_unit(found.config, path, "fault")
    return (*found.checks, *device, *placement, *broker, *unit)
