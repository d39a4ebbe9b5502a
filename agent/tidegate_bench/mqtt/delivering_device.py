"""A light device that measures and publishes: the real spool and the real link in one process, to be killed."""

import os
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.backoff import Backoff
from tidegate.telemetry.link.link import Link
from tidegate.telemetry.payloads.window import Window
from tidegate.telemetry.session import next_session
from tidegate.telemetry.spool import Spool, SpoolCounters

DEVICE = "killed"
FULL_DISK_BYTES = 64 << 10
"""No file of a device whose disk is full may grow beyond this (RLIMIT_FSIZE)."""
MAX_BYTES, MAX_AGE_S = 8 << 20, 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Shift:
    """What a device does before it ends: windows from `begins_at` (Unix time, s), with an event now and then."""

    begins_at: float
    windows: int
    window_s: float
    windows_per_event: int = 6
    disk_full: bool = False
    drain_s: float = 0.3


def work(directory: Path, port: int, shift: Shift, told: int, pause: Random) -> None:
    """Put and publish; tell on the descriptor `told` of each row its seq, `e` or `t`, and whether the disk has it.

    Then wait up to `drain_s` for the broker to have all of it, and tell of the end of the shift (`.`).
    """
    if shift.disk_full:
        # Else the kernel's signal, not the failing write, would be what the device meets.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_DISK_BYTES, resource.RLIM_INFINITY))
    device, spool, link = _device(directory, port)
    for number in range(shift.windows):
        now = shift.begins_at + (number + 1) * shift.window_s
        window = Window(now, shift.window_s, "full", 1, "serving", 0, 0, requests=1, readings={"battery": 80.0})
        rows = [(device.topics.telemetry, window.to_document(), "t")]
        if number % shift.windows_per_event == 0:
            rows.append((device.topics.event, {"at": now, "kind": "decision", "text": "killed soon"}, "e"))
        for topic, document, kind in rows:
            # Told before as well: a row whose `put` never returned may be there or not.
            os.write(told, b"? %b\n" % kind.encode())
            seq = spool.put(topic, document, now)
            os.write(told, b"%d %b %d\n" % (seq, kind.encode(), spool.problem is None))
        link.wake()
        time.sleep(pause.uniform(0.0, 0.002))
    until = time.monotonic() + shift.drain_s
    while time.monotonic() < until and not _drained(spool):
        time.sleep(0.005)
    os.write(told, b".\n")


def drain(directory: Path, port: int, told: int, deadline_s: float) -> None:
    """Publish all that waits, and tell the counters on the descriptor `told`: waiting, merged, dropped."""
    _, spool, link = _device(directory, port)
    until = time.monotonic() + deadline_s
    while time.monotonic() < until and not _drained(spool):
        time.sleep(0.01)
    link.stop()
    counters = spool.counters
    spool.close()
    if counters is not None:
        os.write(told, b"%d %d %d\n" % (counters.waiting, counters.merged, sum(counters.dropped.values())))


def _device(directory: Path, port: int) -> tuple[Device, Spool, Link]:
    device = Device(DEVICE, (), next_session(directory / "session"))
    spool = Spool(directory / "spool.db", MAX_BYTES, MAX_AGE_S)
    link = Link(Broker("127.0.0.1", port), device, spool, on_policy=lambda _topic, _payload: None)
    # Nobody else waits for this broker.
    link.backoff = Backoff(base_s=0.01, cap_s=0.1)
    link.start()
    return device, spool, link


def _drained(spool: Spool) -> bool:
    counters: SpoolCounters | None = spool.counters
    return counters is not None and counters.waiting == 0
