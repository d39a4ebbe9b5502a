"""Keeps frames that were answered, beside the answering: an even sample of clips, and those that points differ on.

A clip is what comes from one source within so many seconds; one frame of it is kept, evenly drawn. On an answer's
way lie a look at the clock and, a few times in a clip, a copy of its input; all else is another thread's.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tidegate.engines.engine import Array
from tidegate.footage.frame_file import Frame
from tidegate.footage.store import FootageStore, NoRoom
from tidegate.models.comparing import Mask

log = logging.getLogger(__name__)

MAX_WAITING = 8
"""Frames that wait for the disk; more would take memory that the device needs."""
MAX_SOURCES = 64
"""Of which a clip may be open at once; each holds a frame."""
HTTP = "requests"
"""The source of what is asked over HTTP."""


@dataclass(slots=True)
class _Clip:
    """`frame` is the one kept so far, of those `seen`; None where the clip is not one of the sample."""

    at_s: float
    ends_s: float
    key: float
    seen: int = 0
    frame: Array | None = None
    differed: set[str] = field(default_factory=set)


class KeptFootage:
    """`note` and `disagreed` may be called from any thread, and neither waits for the disk."""

    def __init__(
        self,
        store: FootageStore,
        clip_s: float,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._clip_s = clip_s
        self._clock = clock
        self._monotonic = monotonic
        self._chance = chance
        self._clips: dict[str, _Clip] = {}
        self._lock = threading.RLock()
        self._waiting = 0
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="footage")
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why the last frame was not kept; empty where it was."""
        return self._trouble

    @property
    def waiting(self) -> int:
        """Frames that wait for the disk."""
        return self._waiting

    def note(self, batch: Array, source: str) -> None:
        """Inputs (n, *input shape) that were answered; they may be changed afterwards."""
        with self._lock:
            clip = self._clip_of(source)
            if clip is None:
                return
            clip.seen += len(batch)
            if clip.key < self._store.ceiling and self._chance() * clip.seen < len(batch):
                clip.frame = batch[int(self._chance() * len(batch))].copy()

    def disagreed(self, batch: Array, differs: Mask, point: str, source: str) -> None:
        """Inputs on which a point and the full model differed: one for each clip and point is kept."""
        with self._lock:
            clip = self._clip_of(source)
            if clip is None or point in clip.differed or not differs.any():
                return
            clip.differed.add(point)
            places = differs.nonzero()[0]
            place = int(places[int(self._chance() * len(places))])
            frame, at_s, key = Frame(batch[place].copy(), source, point), self._clock(), self._chance()
        self._write(lambda: self._store.put_disagreement(frame, at_s, key))

    def end_clips(self) -> None:
        """Write the clips that are over: of a source that has gone still, no next frame comes to do it."""
        now_s = self._monotonic()
        with self._lock:
            over = [source for source, clip in self._clips.items() if now_s >= clip.ends_s]
            for source in over:
                self._end(source)

    def forget(self) -> None:
        """Delete what is kept, and drop what is not on the disk yet."""
        with self._lock:
            self._clips.clear()
        self._write(self._store.clear)

    def close(self) -> None:
        """Write what there is, and end."""
        with self._lock:
            for source in list(self._clips):
                self._end(source)
        self._disk.shutdown(wait=True)

    def _clip_of(self, source: str) -> _Clip | None:
        """The source's open clip, or a new one; None for one source too many."""
        now_s = self._monotonic()
        clip = self._clips.get(source)
        if clip is not None and now_s < clip.ends_s:
            return clip
        if clip is not None:
            self._end(source)
        elif len(self._clips) >= MAX_SOURCES:
            return None
        self._clips[source] = clip = _Clip(self._clock(), now_s + self._clip_s, self._chance())
        return clip

    def _end(self, source: str) -> None:
        clip = self._clips.pop(source)
        if clip.frame is not None:
            frame, at_s, key = Frame(clip.frame, source), clip.at_s, clip.key
            self._write(lambda: self._store.put(frame, at_s, key))

    def _write(self, write: Callable[[], None]) -> None:
        with self._lock:
            if self._waiting >= MAX_WAITING:
                self._say("the disk is too slow for them")
                return
            self._waiting += 1
        self._disk.submit(self._written, write)

    def _written(self, write: Callable[[], None]) -> None:
        try:
            write()
            self._say("")
        except NoRoom as error:
            self._say(str(error))
        except OSError as error:
            self._say(f"{error.filename or 'the disk'}: {error.strerror or error}")
        except Exception:
            log.exception("a frame was not kept")
            self._say("the agent failed over one; its log says more")
        finally:
            with self._lock:
                self._waiting -= 1

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            log.warning("frames are not kept: %s", trouble)
        self._trouble = trouble
