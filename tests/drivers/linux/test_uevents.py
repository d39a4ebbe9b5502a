"""uevents through the real kernel, in a network namespace of the test's own."""

import json
import sys

from network_namespace import apart

from tidegate_drivers.linux.uevents import subsystem_of
from tidegate_drivers.testing.uevent_sender import message

OVERFLOW = """
import json
from tidegate_drivers.testing.uevent_sender import send
from tidegate_drivers.linux.uevents import Uevents
import socket
listener = Uevents()
send(1, 1e9)
first = listener.drain()
send(1, 1e9, subsystem="thermal"); send(1, 1e9, subsystem="hwmon")
two = listener.drain()
listener._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
send(3000, 1e9)
print(json.dumps([sorted(first), sorted(two), listener.drain(), sorted(listener.drain())]))
"""


def test_subsystem_is_taken_from_the_message() -> None:
    assert subsystem_of(message("change", "/devices/x", "power_supply")) == "power_supply"
    assert subsystem_of(b"libudev\0\xfe\xed\xca\xfe") == ""
    assert subsystem_of(b"change@/x\0ACTION=change\0SUBSYSTEM=") == ""


def test_events_are_heard_and_a_full_buffer_means_everything() -> None:
    first, two, overflowed, after = json.loads(apart(sys.executable, "-c", OVERFLOW))
    assert first == ["power_supply"]
    assert two == ["hwmon", "thermal"]
    assert overflowed is None
    assert after == []
