"""`tidegate bench driver-faults` and `driver-cost`."""

from tidegate.cli.console import fail
from tidegate.errors import EX_UNAVAILABLE
from tidegate_bench.cli.show import JsonOption, QuickOption, show
from tidegate_bench.drivers import cost as cost_bench
from tidegate_bench.drivers import faults as faults_bench
from tidegate_drivers.testing.fault_mount import FaultMountError


def faults(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """Every driver under every fault of every file it reads, through FUSE."""
    try:
        show(faults_bench.run(quick=quick), as_json)
    except FaultMountError as error:
        fail(f"driver-faults can't run here: {error}", EX_UNAVAILABLE)


def cost(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """The CPU that watching a device takes, also in a storm of 1,000 events a second."""
    show(cost_bench.run(quick=quick), as_json)
