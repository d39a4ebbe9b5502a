"""Tells systemd how the service is: sd_notify(3) over the socket it names; silent where there is no systemd."""

import os
import socket


def notify(**fields: str | int) -> bool:
    """Send fields such as READY=1 or STATUS="..."; False when nobody listens."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    message = "\n".join(f"{name}={value}" for name, value in fields.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
        try:
            datagram.sendto(message.encode(), address)
        except OSError:
            return False
    return True
