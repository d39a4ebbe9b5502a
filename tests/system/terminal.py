"""A command in a real pseudo-terminal, and what stands on its screen."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Sequence

import pyte

SETTLED_S = 0.04
"""A frame is whole when the terminal has been still for this long; frames are .25 s apart."""


class Terminal:
    """`command` in a terminal of `columns` by `lines`; use as a context manager."""

    def __init__(self, command: Sequence[str], columns: int, lines: int, **environment: str) -> None:
        self._master, slave = pty.openpty()
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.written = b""
        self.resize(columns, lines)
        inherited = {
            name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")
        }
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**inherited, "TERM": "xterm-256color", **environment},
            start_new_session=True,
        )
        os.close(slave)

    def resize(self, columns: int, lines: int) -> None:
        """Another size, as a user drags the window's corner."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    def text(self) -> str:
        """What stands on the screen, its spaces folded."""
        return " ".join(" ".join(self.screen.display).split())

    def follow(self, seconds: float, frame: Callable[[str], None] = lambda _: None) -> bool:
        """Show what comes for so long, each frame to `frame`; False once the command has ended."""
        until, dirty = time.monotonic() + seconds, False
        while time.monotonic() < until:
            ready, _, _ = select.select([self._master], [], [], SETTLED_S)
            if ready:
                try:
                    data = os.read(self._master, 65536)
                except OSError:
                    return False
                self.written += data
                self._stream.feed(data)
                dirty = True
            elif dirty:
                frame(self.text())
                dirty = False
        return True

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self._master)
