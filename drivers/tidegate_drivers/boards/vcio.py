"""Asks a Raspberry Pi's firmware through /dev/vcio, as `vcgencmd` does, without starting a process.

Source: raspberrypi/utils, vcgencmd.c: property tag 0x00030080 carries the command and its answer.
"""

import fcntl
import os
import struct
from pathlib import Path

DEVICE = Path("/dev/vcio")

# _IOWR(100, 0, char *): direction 3, the size of a pointer, type 100, number 0.
_IOCTL_MAILBOX = (3 << 30) | (struct.calcsize("P") << 16) | (100 << 8)
_TAG_GENCMD = 0x00030080
_PAYLOAD_BYTES = 1024
_REQUEST, _END = 0, 0
_ANSWERED = 0x80000000
# Whole buffer: size, code; tag, its space, its length; error word and text; end.
_FORMAT = f"<IIIII I{_PAYLOAD_BYTES}s I"


def ask(command: str, device: Path = DEVICE) -> str:
    """The firmware's answer to a gencmd such as `get_throttled`. Raises OSError.

    Never give `get_throttled` an argument: it clears what others wait to see.
    """
    descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    try:
        buffer = bytearray(request(command))
        fcntl.ioctl(descriptor, _IOCTL_MAILBOX, buffer, True)
    finally:
        os.close(descriptor)
    return answer(bytes(buffer))


def request(command: str) -> bytes:
    """The mailbox message that carries a `vcgencmd` command, ready for the ioctl."""
    text = command.encode()
    return struct.pack(_FORMAT, struct.calcsize(_FORMAT), _REQUEST, _TAG_GENCMD, _PAYLOAD_BYTES, 0, 0, text, _END)


def answer(message: bytes) -> str:
    """The text within an answered message. Raises OSError when the firmware refused."""
    _size, code, _tag, _space, _length, error, text, _end = struct.unpack(_FORMAT, message)
    words: str = text.partition(b"\0")[0].decode("utf-8", "replace").strip()
    if code != _ANSWERED or error != 0 or words.startswith("error="):
        raise OSError(f"the firmware refused the request (code {code:#x}, error {error}): {words[:80]}")
    return words
