"""The kernel's own notices of devices that come, go and change, over netlink (kernel: lib/kobject_uevent.c)."""

import errno
import os
import select
import socket

_NETLINK_KOBJECT_UEVENT = 15
# Group 2 carries what udev sends on, after its rules; the kernel speaks in group 1, from port 0.
_KERNEL_GROUP = 1
_KERNEL_PORT = 0
_BUFFER_BYTES = 512 * 1024
_MESSAGE_BYTES = 8192
_SUBSYSTEM = b"\0SUBSYSTEM="
# More than this in one second is a storm, in which it is cheaper to ask every driver than to read every message.
_MOST_AT_ONCE = 2000


class Uevents:
    """A listener in this network namespace (with PrivateNetwork it hears nothing). Topics are subsystems."""

    poll_mask = select.POLLIN

    def __init__(self) -> None:
        """Raises OSError where there is no such socket."""
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            _NETLINK_KOBJECT_UEVENT,
        )
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._socket.bind((0, _KERNEL_GROUP))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def drain(self) -> frozenset[str] | None:
        """The subsystems that changed; None when the kernel had to drop messages or there were too many."""
        subsystems: set[str] = set()
        lost = False
        for _ in range(_MOST_AT_ONCE):
            try:
                message, (port, _groups) = self._socket.recvfrom(_MESSAGE_BYTES)
            except BlockingIOError:
                return None if lost else frozenset(subsystems)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            # Any process may send to a group; only the kernel sends from port 0.
            if port == _KERNEL_PORT and (subsystem := subsystem_of(message)):
                subsystems.add(subsystem)
        return None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def subsystem_of(message: bytes) -> str:
    """The subsystem that a kernel message names, empty when it names none."""
    _, found, rest = message.partition(_SUBSYSTEM)
    return os.fsdecode(rest.partition(b"\0")[0]) if found else ""
