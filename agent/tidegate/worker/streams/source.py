"""Where frames come from."""

from collections.abc import Callable, Iterator
from threading import Event
from typing import Protocol

from tidegate.worker.streams.frame import Frame


class SourceGone(Exception):  # noqa: N818 - reads as what it is at the call site
    """There is nothing to read from for now; the message says why. It is tried again."""


class BadFrame(Exception):  # noqa: N818 - reads as what it is at the call site
    """One frame that can't be used; the message says which and why. The next one may do."""


class Source(Protocol):
    """`live` where frames come by themselves and are lost when nobody takes them."""

    live: bool

    def frames(self, stop: Event, due: Callable[[], bool]) -> Iterator[Frame | BadFrame | None]:
        """Frames until `stop` is set; None for one that was left out as it wasn't `due`. Raises SourceGone.

        A source that is not live takes no notice of `due`: whoever reads it waits in time.
        """
