"""Sends uevents through the kernel, as devices do.

`python -m tidegate_drivers.testing.uevent_sender RATE SECONDS` sends RATE events a second.

Needs a network namespace of its own (unshare -n): the kernel passes them on to the listeners there only.
"""

import socket
import struct
import sys
import time

_NETLINK_KOBJECT_UEVENT = 15
_TYPE = 0x10  # NLMSG_MIN_TYPE: the first that is not the protocol's own
_REQUEST = 0x1
_HEADER = struct.Struct("=IHHII")


def message(action: str, devpath: str, subsystem: str) -> bytes:
    """A uevent with its netlink header; the kernel adds SEQNUM."""
    lines = (f"{action}@{devpath}", f"ACTION={action}", f"DEVPATH={devpath}", f"SUBSYSTEM={subsystem}")
    body = b"".join(line.encode() + b"\0" for line in lines)
    return _HEADER.pack(_HEADER.size + len(body), _TYPE, _REQUEST, 0, 0) + body


def send(count: int, per_second: float, subsystem: str = "power_supply") -> None:
    """Send `count` change events at a rate. Raises OSError without the right to."""
    event = message("change", f"/devices/platform/test/{subsystem}/BAT0", subsystem)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_KOBJECT_UEVENT) as kernel:
        kernel.bind((0, 0))
        began_at = time.monotonic()
        for number in range(count):
            wait_s = began_at + number / per_second - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            kernel.sendto(event, (0, 0))


if __name__ == "__main__":
    rate, seconds = map(float, sys.argv[1:])
    send(int(rate * seconds), rate)
