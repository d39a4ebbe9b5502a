"""`tidegate bench driver-faults` and `driver-cost`."""

from agent.bench import driver_cost, driver_faults
from agent.bench.fault_mount import FaultMountError
from agent.cli.bench.show import JsonOption, QuickOption, show
from agent.cli.console import fail


def faults(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """Every driver under every fault of every file it reads, through FUSE."""
    try:
        show(driver_faults.run(quick=quick), as_json)
    except FaultMountError as error:
        fail(f"driver-faults can't run here: {error}", 1)


def cost(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """The CPU that watching a device takes, also in a storm of 1,000 events a second."""
    try:
        show(driver_cost.run(quick=quick), as_json)
    except driver_cost.CostError as error:
        fail(str(error), 1)
