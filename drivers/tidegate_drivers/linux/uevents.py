"""The kernel's own notices of devices that come, go and change, over netlink (kernel: lib/kobject_uevent.c)."""

import os

from tidegate_drivers.linux.netlink import NetlinkWake

_NETLINK_KOBJECT_UEVENT = 15
# Group 2 carries what udev sends on, after its rules; the kernel speaks in group 1.
_KERNEL_GROUP = 1
_SUBSYSTEM = b"\0SUBSYSTEM="


class Uevents(NetlinkWake):
    """A listener in this network namespace (with PrivateNetwork it hears nothing). Topics are subsystems."""

    def __init__(self) -> None:
        """Raises OSError where there is no such socket."""
        super().__init__(_NETLINK_KOBJECT_UEVENT, _KERNEL_GROUP, subsystem_of)


def subsystem_of(message: bytes) -> str:
    """The subsystem that a kernel message names, empty when it names none."""
    _, found, rest = message.partition(_SUBSYSTEM)
    return os.fsdecode(rest.partition(b"\0")[0]) if found else ""
