"""One stream: a thread that reads frames, and one that answers them."""

import logging
import math
import time
from collections.abc import Callable
from threading import Event, Thread

from tidegate.messages import AdmissionState, StreamCount, StreamSpec
from tidegate.worker.admission import Admission, TooMuch
from tidegate.worker.inference_queue import InferenceQueue, QueueFull
from tidegate.worker.protocol.interface import Interface
from tidegate.worker.shadow import Shadow
from tidegate.worker.streams.answer_line import answer_line
from tidegate.worker.streams.frame import Frame
from tidegate.worker.streams.frame_counter import FrameCounter
from tidegate.worker.streams.frame_queue import FrameQueue
from tidegate.worker.streams.motion import MotionGate
from tidegate.worker.streams.pace import Pace
from tidegate.worker.streams.sink import Sink
from tidegate.worker.streams.source import BadFrame, Source, SourceGone
from tidegate.worker.streams.source_in_words import source_in_words

AGAIN_S, LONGEST_S = 1.0, 30.0
"""After which a source that is gone is tried again: doubling, up to the second."""
END_S = 2.0


class Stream:
    """Belongs to its two threads; `take` may be called from any.

    `state` is what the supervisor last said of the policy.
    """

    def __init__(
        self,
        spec: StreamSpec,
        source: Source,
        sink: Sink,
        *,
        interface: Interface,
        queue: InferenceQueue,
        shadow: Shadow,
        admission: Admission,
        state: Callable[[], AdmissionState],
    ) -> None:
        self._spec = spec
        self._source = source
        self._sink = sink
        self._interface = interface
        self._queue = queue
        self._shadow = shadow
        self._admission = admission
        self._state = state
        self._frames = FrameQueue(spec.queue)
        self._pace = Pace(spec.frames_per_second)
        self._motion = None if spec.motion is None else MotionGate(spec.motion)
        self._counter = FrameCounter(spec.name, source_in_words(spec))
        # One each: repeated lines are folded by logger, and one stream's must not hide another's.
        self._log = logging.getLogger(f"{__name__}.{spec.name}")
        self._stop = Event()
        names = (("read", self._read), ("answer", self._answer))
        self._threads = [Thread(target=run, name=f"{spec.name}-{name}", daemon=True) for name, run in names]

    def start(self) -> None:
        """Read and answer from now on."""
        for each in self._threads:
            each.start()

    def stop(self) -> None:
        """Read no more, and answer what was read."""
        self._stop.set()
        self._frames.close()
        for each in self._threads:
            each.join(END_S)
        self._sink.close()

    def take(self) -> StreamCount:
        """What was counted since the last call; a problem stays until it is over."""
        return self._counter.take()

    def _read(self) -> None:
        pause_s = AGAIN_S
        while not self._stop.is_set():
            try:
                for each in self._source.frames(self._stop, lambda: self._pace.take(time.monotonic())):
                    pause_s = AGAIN_S
                    self._say("")
                    self._take_in(each)
            except SourceGone as gone:
                self._say(str(gone))
            except Exception as error:  # noqa: BLE001 - it is logged whole, and tried again
                self._log.exception("stream %s", self._spec.name)
                self._say(f"{type(error).__name__}: {error}")
            if self._stop.wait(pause_s):
                return
            pause_s = min(LONGEST_S, 2 * pause_s)

    def _take_in(self, read: Frame | BadFrame | None) -> None:
        if read is None:
            self._counter.saw(skipped=1)
            return
        if isinstance(read, BadFrame):
            self._log.warning("stream %s: %s", self._spec.name, read)
            self._counter.saw(failed=1)
            return
        if not self._source.live:
            while not self._pace.take(time.monotonic()):
                if self._stop.wait(self._pace.wait_s(time.monotonic())):
                    return
        if self._motion is not None and not self._motion.passes(read.values):
            self._counter.saw(still=1)
        elif self._source.live:
            self._counter.saw(dropped=int(self._frames.put_newest(read)))
        else:
            self._counter.saw()
            self._frames.put(read)

    def _answer(self) -> None:
        while (frame := self._frames.get()) is not None:
            try:
                self._answer_one(frame)
            except (TooMuch, QueueFull):
                self._counter.add(turned_away=1)
            except Exception as error:  # noqa: BLE001 - the next frame may do
                self._log.warning("stream %s, frame %s: %s", self._spec.name, frame.origin[:80], error)
                self._counter.add(failed=1)

    def _answer_one(self, frame: Frame) -> None:
        state = self._state()
        if state.refuse:
            raise TooMuch(state.reason, math.inf)
        batch = frame.batch(self._interface.scale)
        with self._admission.enter(state.rate_hz, state.concurrency):
            here = self._queue.answers_here
            answered = self._queue.infer_here(batch) if here else self._queue.infer(batch).result()
        self._shadow.consider(batch, answered, state.shadow_share, self._spec.name)
        line = answer_line(
            self._spec.name,
            frame.origin,
            time.time(),
            answered,
            self._interface,
            all_outputs=self._spec.all_outputs,
        )
        self._sink.write(line)
        self._counter.add(answered=1)

    def _say(self, problem: str) -> None:
        if problem == self._counter.problem:
            return
        if problem:
            self._log.warning("stream %s: %s; it is tried again", self._spec.name, problem)
        else:
            self._log.info("stream %s: frames come", self._spec.name)
        self._counter.say(problem)
