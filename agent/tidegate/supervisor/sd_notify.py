"""Tells systemd how the service is: sd_notify(3) over the socket it names; silent where there is no systemd."""

import os
import socket

CAN_NOT_BE_LEFT_OUT = frozenset({"READY", "RELOADING", "STOPPING"})
"""Said once; all else is said again soon."""
PATIENCE_S = 5.0


def notify(**fields: str | int) -> bool:
    """Send fields such as READY=1 or STATUS="..."; False when nobody listens, or too late for it."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    patience_s = PATIENCE_S if fields.keys() & CAN_NOT_BE_LEFT_OUT else 0.0
    message = "\n".join(f"{name}={value}" for name, value in fields.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
        # A service manager that is behind must not stop the event loop.
        datagram.settimeout(patience_s)
        try:
            datagram.sendto(message.encode(), address)
        except OSError:
            return False
    return True
