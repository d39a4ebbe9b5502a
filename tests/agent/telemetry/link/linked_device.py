"""A device as a process of its own, for tests that kill it: python linked_device.py PORT DIRECTORY ROWS.

Puts ROWS rows, tells each seq on stdout once it is in the spool, then stays online until it is killed.
"""

import sys
import time
from pathlib import Path

from tidegate.telemetry.broker import Broker
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.link import Link
from tidegate.telemetry.session import next_session
from tidegate.telemetry.spool import Spool


def main() -> None:
    port, directory, rows = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    device = Device("cam-1", (), next_session(directory / "session"))
    spool = Spool(directory / "spool.db", 10**7, 10**6)
    link = Link(Broker("127.0.0.1", port), device, spool, on_policy=lambda _topic, _payload: None)
    link.start()
    for _ in range(rows):
        sys.stdout.write(f"{spool.put(device.topics.telemetry, {'watts': 1.0}, time.time())}\n")
        sys.stdout.flush()
        link.wake()
    while True:
        time.sleep(1)


if __name__ == "__main__":
    main()
