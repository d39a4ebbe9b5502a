"""What the kernel sends to a netlink group, as a wake (man 7 netlink)."""

import errno
import select
import socket
from collections.abc import Callable

_KERNEL_PORT = 0
_BUFFER_BYTES = 512 * 1024
_MESSAGE_BYTES = 8192
# More than this in one second is a storm, in which it is cheaper to ask every driver than to read every message.
_MOST_AT_ONCE = 2000


class NetlinkWake:
    """Ready when the kernel has sent something; `topic_of` names what a datagram is about, empty for nothing."""

    poll_mask = select.POLLIN

    def __init__(self, protocol: int, groups: int, topic_of: Callable[[bytes], str]) -> None:
        """Raises OSError where there is no such socket."""
        self._topic_of = topic_of
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
            self._socket.bind((0, groups))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def drain(self) -> frozenset[str] | None:
        """The topics of what came; None when the kernel had to drop messages or there were too many."""
        topics: set[str] = set()
        lost = False
        for _ in range(_MOST_AT_ONCE):
            try:
                message, (port, _groups) = self._socket.recvfrom(_MESSAGE_BYTES)
            except BlockingIOError:
                return None if lost else frozenset(topics)
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                lost = True
                continue
            # Any process may send to a group; only the kernel sends from port 0.
            if port == _KERNEL_PORT and (topic := self._topic_of(message)):
                topics.add(topic)
        return None

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
