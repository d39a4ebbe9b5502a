"""Generic netlink: where a family's multicast group is found (kernel: include/uapi/linux/genetlink.h).

Families and groups have names; their numbers are given out at boot and asked from the family `nlctrl`.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator

NETLINK_GENERIC = 16
HEADER = struct.Struct("=IHHII")
"""nlmsghdr: length, type, flags, sequence, port."""
COMMAND = struct.Struct("=BBH")
"""genlmsghdr: command, version, reserved."""

_ATTRIBUTE = struct.Struct("=HH")
_NLCTRL = 0x10
_GETFAMILY = 3
_FAMILY_NAME, _MCAST_GROUPS = 2, 7
_GROUP_NAME, _GROUP_ID = 1, 2
_REQUEST = 1
_NLMSG_ERROR = 2
_TYPE_BITS = 0x3FFF
_ANSWER_BYTES = 16384
_DEADLINE_S = 2.0


def group_id(family: str, group: str) -> int:
    """The number of a family's multicast group. Raises OSError where the kernel has none of that name."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_GENERIC) as asking:
        asking.settimeout(_DEADLINE_S)
        asking.bind((0, 0))
        asking.send(question(family))
        return group_of(asking.recv(_ANSWER_BYTES), group)


def question(family: str) -> bytes:
    """The message that asks nlctrl for a family by its name."""
    body = COMMAND.pack(_GETFAMILY, 1, 0) + attribute(_FAMILY_NAME, family.encode() + b"\0")
    return HEADER.pack(HEADER.size + len(body), _NLCTRL, _REQUEST, 0, 0) + body


def group_of(answer: bytes, group: str) -> int:
    """The number of the named group in nlctrl's answer. Raises OSError."""
    _length, kind, *_ = HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        code = -struct.unpack_from("=i", answer, HEADER.size)[0]
        raise OSError(code, os.strerror(code))
    family = dict(attributes(answer[HEADER.size + COMMAND.size :]))
    for _, described in attributes(family.get(_MCAST_GROUPS, b"")):
        known = dict(attributes(described))
        if known.get(_GROUP_NAME) == group.encode() + b"\0":
            return int.from_bytes(known[_GROUP_ID], sys.byteorder)
    raise OSError(errno.ENOENT, f"the family has no group {group!r}")


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute as bytes, padded to whole words of 4 bytes."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and value of each attribute in a message's body; ends at one that is cut off."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            return
        yield kind & _TYPE_BITS, data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]
