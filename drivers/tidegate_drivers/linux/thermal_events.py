"""Trip points that are crossed, as the kernel tells it (kernel: include/uapi/linux/thermal.h, since 5.9).

No uevent comes of that: without this, a zone that heats up is seen at the next poll.
"""

from tidegate_drivers.linux.genetlink import COMMAND, HEADER, NETLINK_GENERIC, group_id
from tidegate_drivers.linux.netlink import NetlinkWake

TOPIC = "trip"

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
# THERMAL_GENL_EVENT_*: zones that come, go and are switched (1 to 4), trips crossed up and down (5, 6), moved (7)
# and, up to 6.10, added and removed (8, 9). Not 12 and 14, cooling states and the capacity of processors, of which
# there can be many a second and no reading depends on at once.
_ABOUT_ZONES = range(1, 10)


class ThermalEvents(NetlinkWake):
    """Ready when a zone passes a trip point; the kernel sends it in the first network namespace only."""

    def __init__(self) -> None:
        """Raises OSError where the kernel has no such events."""
        group = group_id("thermal", "event")
        super().__init__(NETLINK_GENERIC, 0, topic_of)
        try:
            self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except OSError:
            self.close()
            raise


def topic_of(message: bytes) -> str:
    """TOPIC if the message is about a zone or its trip points, else empty."""
    if len(message) < HEADER.size + COMMAND.size:
        return ""
    command, _version, _reserved = COMMAND.unpack_from(message, HEADER.size)
    return TOPIC if command in _ABOUT_ZONES else ""
