"""Frames that were decoded before, through a stream of the worker's."""

import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import numpy as np

from tidegate.messages import AdmissionState, StreamSpec
from tidegate.worker.admission import Admission
from tidegate.worker.inference_queue import InferenceQueue
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.shadow import Shadow
from tidegate.worker.streams.frame import Frame
from tidegate.worker.streams.line_sink import LineSink
from tidegate.worker.streams.source import BadFrame
from tidegate.worker.streams.stream import Stream

LOOK_S = 0.005


class Frames:
    """The same frame, so many times."""

    live = False

    def __init__(self, frame: Frame, count: int) -> None:
        self._frame = frame
        self._count = count

    def frames(self, stop: Event, due: Callable[[], bool]) -> Iterator[Frame | BadFrame | None]:
        """All of them, and then none until `stop`."""
        del due
        yield from itertools.repeat(self._frame, self._count)
        stop.wait()


def streamed_ns(
    answers: int, sample_shape: tuple[int, ...], interface: Interface, queue: InferenceQueue, shadow: Shadow
) -> int:
    """Processor time of this process until so many frames have been answered, into a file that forgets."""
    state = AdmissionState(fits=True, refuse=False, reason="")
    stream = Stream(
        StreamSpec("bench", os.devnull, frames_per_second=1e6),
        Frames(Frame(np.zeros(sample_shape, np.uint8), "again"), answers),
        LineSink(Path(os.devnull)),
        interface=interface,
        queue=queue,
        shadow=shadow,
        admission=Admission(),
        state=lambda: state,
    )
    began_ns = time.process_time_ns()
    stream.start()
    answered = 0
    while answered < answers:
        time.sleep(LOOK_S)
        count = stream.take()
        answered += count.answered + count.failed
    took_ns = time.process_time_ns() - began_ns
    stream.stop()
    return took_ns
