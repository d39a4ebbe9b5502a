"""`tidegate bench mqtt-kills`, `mqtt-hostile` and `spool`."""

from tidegate_bench.cli.show import JsonOption, QuickOption, progress, show
from tidegate_bench.mqtt import hostile as hostile_bench
from tidegate_bench.mqtt import kills as kills_bench
from tidegate_bench.mqtt import spool as spool_bench


def kills(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """72 simulated hours of kills, dead brokers, torn networks and full disks: what is lost or half done."""
    show(kills_bench.run(quick=quick, progress=progress), as_json)


def hostile(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """Spoiled messages on every topic of an agent: whether it stays up, in time and small, and counts them."""
    show(hostile_bench.run(quick=quick, progress=progress), as_json)


def spool(as_json: JsonOption = False, quick: QuickOption = False) -> None:
    """How fast a spool drains to a broker, in which memory, and what a day of telemetry costs."""
    show(spool_bench.run(quick=quick, progress=progress), as_json)
