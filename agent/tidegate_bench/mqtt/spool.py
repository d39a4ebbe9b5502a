"""`tidegate bench spool`: how fast a spool drains to a real broker, in which memory, and what a day of it costs.

The rate is per second of processor time of the device's own process, link and disk included: on a device without
other load and with a broker that keeps up, that is what a second is worth.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from tempfile import TemporaryDirectory

from pydantic import TypeAdapter, ValidationError

from tidegate import child
from tidegate.config import Telemetry
from tidegate.fleet.broker import LocalBroker
from tidegate_bench.broken import BrokenError
from tidegate_bench.figures import Cell, Figures, Goal
from tidegate_bench.footprint.idle import DAY_S
from tidegate_bench.mqtt.demo_window import full_bytes, lean_bytes
from tidegate_bench.progress import Progress

ROWS, QUICK_ROWS = 15_000, 2_000
LONGEST_S = 600.0
DRAINED_PER_S = 5_000
GROWS_MB = 2.0
LEAN_BYTES = 400
ON_THE_WIRE_BYTES = 150
"""Of each window beside its JSON: topic, headers of MQTT and TCP/IP, acknowledgement (docs/telemetry.md)."""


@dataclass(frozen=True, slots=True)
class Drained:
    """What filling and draining took: seconds of processor time, and memory as it went."""

    put_s: float
    drain_s: float
    sent: int
    rss_mb: tuple[float, ...]
    waiting: int | None


def run(*, quick: bool, progress: Progress) -> Figures:
    """Fill a spool and drain it. Raises BrokenError, LocalBrokerError."""
    rows = QUICK_ROWS if quick else ROWS
    progress(f"{rows} windows into a spool, and out of it to a broker")
    with TemporaryDirectory(prefix="tidegate-spool-") as made, LocalBroker() as broker:
        arguments = (str(broker.port), made, str(rows))
        command = child.command("tidegate_bench.mqtt.spool_drainer", *arguments)
        try:
            done = subprocess.run(
                command, env=child.environment(), capture_output=True, text=True, check=False, timeout=LONGEST_S
            )
        except subprocess.TimeoutExpired:
            raise BrokenError(f"the spool was not drained within {LONGEST_S:g} s") from None
        if done.returncode != 0:
            raise BrokenError(f"the draining process ended with {done.returncode}: {done.stderr[-2000:]}")
    try:
        drained = TypeAdapter(Drained).validate_json(done.stdout)
    except ValidationError as error:
        raise BrokenError(f"the draining process said {done.stdout[:200]!r}") from error
    return figures_of(rows, drained)


def figures_of(rows: int, drained: Drained) -> Figures:
    """What is shown of it."""
    per_day = DAY_S / Telemetry().window
    shown: list[Mapping[str, Cell]] = [
        {
            "windows": rows,
            "put per s": rows / drained.put_s,
            "drained": drained.sent,
            "drained per s": drained.sent / drained.drain_s,
            "rss mb": drained.rss_mb[-1] if drained.rss_mb else None,
        }
    ]
    shown += [
        {
            "form": name,
            "bytes a window": size,
            "mb a day": size * per_day / 1e6,
            "mb a day on the wire": (size + ON_THE_WIRE_BYTES) * per_day / 1e6,
        }
        for name, size in (("lean", lean_bytes()), ("full", full_bytes()))
    ]
    return Figures(
        "spool",
        shown,
        [
            Goal("drained per second of processor time", DRAINED_PER_S, drained.sent / drained.drain_s),
            Goal("left in the spool", 0, drained.waiting, at_least=False),
            Goal("RSS grows while it drains by, MB", GROWS_MB, grows_mb(drained.rss_mb), at_least=False),
            Goal("bytes of a lean window of the demo device", LEAN_BYTES, lean_bytes(), at_least=False),
        ],
    )


def grows_mb(rss_mb: Sequence[float]) -> float | None:
    """From the second third to the last: what is allocated once at the first rows is no growth."""
    third = len(rss_mb) // 3
    return None if third == 0 else max(0.0, median(rss_mb[-third:]) - median(rss_mb[third : 2 * third]))
