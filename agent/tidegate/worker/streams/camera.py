"""A camera: V4L2, RTSP, or a video file played at its own pace. Needs PyAV, an extra."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from tidegate.worker.streams.frame import Frame
from tidegate.worker.streams.source import BadFrame, SourceGone
from tidegate.worker.streams.source_in_words import without_password

if TYPE_CHECKING:
    import av

OPEN_S, READ_S = 10.0, 5.0
"""A camera that says nothing for so long is gone."""
FORMATS = {1: "gray", 3: "rgb24"}
"""By the network's channels."""


class Camera:
    """`address` as FFmpeg has it: /dev/video0, rtsp://..., or a file's path."""

    live = True

    def __init__(self, address: str, sample_shape: tuple[int, ...]) -> None:
        self._address = address
        self._channels, self._height, self._width = sample_shape

    def frames(self, stop: Event, due: Callable[[], bool]) -> Iterator[Frame | BadFrame | None]:
        """Each due one, its shorter side at the network's and its middle cut out. Raises SourceGone."""
        import av  # noqa: PLC0415 - loads FFmpeg

        device = self._address.startswith("/dev/")
        plays = not device and Path(self._address).is_file()
        try:
            with av.open(
                self._address,
                format="v4l2" if device else None,
                options={"rtsp_transport": "tcp"} if self._address.startswith("rtsp") else {},
                timeout=(OPEN_S, READ_S),
            ) as container:
                if not container.streams.video:
                    raise SourceGone(f"{without_password(self._address)}: there is no video in it")
                began_s = time.monotonic()
                for number, picture in enumerate(container.decode(container.streams.video[0])):
                    if plays and picture.time is not None:
                        stop.wait(max(0.0, began_s + picture.time - time.monotonic()))
                    if stop.is_set():
                        return
                    yield self._frame(picture, number) if due() else None
        except (av.FFmpegError, OSError) as error:
            raise SourceGone(f"{without_password(self._address)}: {error.strerror or error}") from None
        raise SourceGone(f"{without_password(self._address)}: it has come to its end")

    def _frame(self, picture: "av.VideoFrame", number: int) -> Frame:
        factor = max(self._height / picture.height, self._width / picture.width)
        height = max(self._height, round(picture.height * factor))
        width = max(self._width, round(picture.width * factor))
        pixels = picture.reformat(width, height, FORMATS[self._channels]).to_ndarray()
        top, left = (height - self._height) // 2, (width - self._width) // 2
        cut = pixels[top : top + self._height, left : left + self._width]
        values = cut[None] if self._channels == 1 else np.moveaxis(cut, -1, 0)
        return Frame(np.ascontiguousarray(values), str(number))
