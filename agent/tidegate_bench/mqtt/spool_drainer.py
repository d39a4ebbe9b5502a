"""A process that fills a spool and drains it to a broker: PORT DIRECTORY ROWS; one JSON line of what that took."""

import json
import sys
import time
from pathlib import Path

import psutil

from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.link import Link
from tidegate.telemetry.spool import Spool
from tidegate_bench.mqtt.demo_window import demo_window

BEGINS_AT = 1_800_000_000.0
APART_S = 0.1
"""All within the hour in which windows stay as they came."""
LONGEST_S = 300.0


def main() -> None:
    """Fill it, drain it, tell."""
    port, directory, rows = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    device = Device("spool", (), 1)
    spool = Spool(directory / "spool.db", 1 << 30, 1e9)
    window = demo_window().to_document()
    began_s = time.process_time()
    for number in range(rows):
        spool.put(device.topics.telemetry, window, BEGINS_AT + number * APART_S)
    put_s = time.process_time() - began_s
    rss_mb = [_rss_mb()]
    link = Link(Broker("127.0.0.1", port), device, spool, on_policy=lambda _topic, _payload: None)
    link.start()
    deadline, began_s = time.monotonic() + LONGEST_S, time.process_time()
    looked_at = 0
    while (published := link.counters.published) < rows and time.monotonic() < deadline:
        if published - looked_at >= rows / 20:
            looked_at = published
            rss_mb.append(_rss_mb())
        time.sleep(0.02)
    drain_s, sent = time.process_time() - began_s, link.counters.published
    link.stop()
    counters = spool.counters
    spool.close()
    told = {"put_s": put_s, "drain_s": drain_s, "sent": sent, "rss_mb": rss_mb}
    sys.stdout.write(json.dumps({**told, "waiting": None if counters is None else counters.waiting}) + "\n")


def _rss_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 1e6


if __name__ == "__main__":
    main()
