"""The socket that Frigate asks at: ZeroMQ over an inherited listening socket, in a thread of its own."""

import logging
import os
import socket
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread

import zmq

from tidegate.messages import StreamCount
from tidegate.worker.admission import TooMuch
from tidegate.worker.frigate.detector import Awaited, Detector, Reply, nothing
from tidegate.worker.frigate.hand_over import MAX_MODEL_BYTES
from tidegate.worker.frigate.protocol import (
    MAX_HEADER_BYTES,
    NOTHING_FOUND,
    ModelAsked,
    ModelSent,
    Picture,
    Refused,
    model_taken,
    read,
)
from tidegate.worker.streams.frame_counter import FrameCounter

log = logging.getLogger(__name__)

UNANSWERED = 16
"""Pictures that the network has not answered yet; each of Frigate's detectors asks for one at a time."""
WAITING_MESSAGES = 2
"""Of one client, unread; one that waits for its replies has no more."""
MAX_PICTURE_BYTES = 64 << 20
END_S = 3.0
"""For what was asked before the end."""
LINGER_MS = 1000


@dataclass(slots=True)
class _Waiting:
    """Somebody who waits; `due_at` is when a picture's reply would be of no use any more, None for models."""

    envelope: list[bytes]
    awaited: Awaited
    due_at: float | None


class FrigateDoor:
    """Answers on `listening`, which stays open; `answer_within_s` is less than Frigate's own timeout.

    A picture whose answer isn't there by then is answered with no boxes, as is one that can't be answered.
    """

    def __init__(
        self, listening: socket.socket, detector: Detector, answer_within_s: float, *, takes_models: bool
    ) -> None:
        self._listening = listening
        self._detector = detector
        self._answer_within_s = answer_within_s
        self._largest_bytes = MAX_MODEL_BYTES if takes_models else max(MAX_HEADER_BYTES, MAX_PICTURE_BYTES)
        self._waiting: deque[_Waiting] = deque()
        self._late: list[Awaited] = []
        self._turned_away = 0
        self._counter = FrameCounter("frigate", f"ZeroMQ at {endpoint_of(listening)}")
        self._stopping = False
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._thread = Thread(target=self._serve, name="frigate", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Answer what was asked, and end."""
        self._stopping = True
        self._rouse()
        self._thread.join(END_S + LINGER_MS / 1e3)
        self._detector.close()

    def take_turned_away(self) -> int:
        """How many pictures the policy's limits refused since the last call."""
        count, self._turned_away = self._turned_away, 0
        return count

    def take(self) -> StreamCount:
        """What became of Frigate's pictures since the last call; `dropped` are those answered too late."""
        return self._counter.take()

    def _serve(self) -> None:
        context = zmq.Context()
        router = context.socket(zmq.ROUTER)
        try:
            self._bind(router)
            poller = zmq.Poller()
            poller.register(router, zmq.POLLIN)
            poller.register(self._woken, zmq.POLLIN)
            while not self._stopping:
                self._turn(router, poller)
            # New connections wait for the next worker; those that are open are told apart by their requests.
            router.unbind(router.getsockopt(zmq.LAST_ENDPOINT))
            ends_at = time.monotonic() + END_S
            while (self._waiting or router.poll(0)) and time.monotonic() < ends_at:
                self._turn(router, poller)
        except zmq.ZMQError as error:
            log.exception("Frigate is answered no more until the worker is replaced")
            self._counter.say(f"no more answers until the worker is replaced: {error}")
        finally:
            router.close(linger=LINGER_MS)
            context.term()
            self._wake.close()
            self._woken.close()

    def _bind(self, router: "zmq.Socket[bytes]") -> None:
        router.setsockopt(zmq.LINGER, LINGER_MS)
        router.setsockopt(zmq.MAXMSGSIZE, self._largest_bytes)
        router.setsockopt(zmq.RCVHWM, WAITING_MESSAGES)
        router.setsockopt(zmq.SNDHWM, WAITING_MESSAGES)
        router.setsockopt(zmq.TCP_KEEPALIVE, 1)  # a machine that is gone says no goodbye
        # ZeroMQ closes what it is given.
        router.setsockopt(zmq.USE_FD, os.dup(self._listening.fileno()))
        router.bind(endpoint_of(self._listening))

    def _turn(self, router: "zmq.Socket[bytes]", poller: zmq.Poller) -> None:
        """Wait for something to do, and do it."""
        ready = dict(poller.poll(self._patience_ms()))
        if self._woken.fileno() in ready or self._woken in ready:
            self._woken.recv(4096)
        if router in ready:
            self._answer_next(router)
        self._answer_waiting(router)

    def _patience_ms(self) -> int | None:
        """Until the next picture is due; None for ever."""
        due = [each.due_at for each in self._waiting if each.due_at is not None]
        return max(0, int((min(due) - time.monotonic()) * 1e3) + 1) if due else None

    def _answer_next(self, router: "zmq.Socket[bytes]") -> None:
        try:
            frames = router.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return
        if len(frames) < 3 or len(frames[1].buffer):
            return  # no REQ socket's: there is nobody to answer
        envelope = [frames[0].bytes, b""]
        reply = self._reply([each.buffer for each in frames[2:]])
        if isinstance(reply, list):
            _send(router, envelope, reply)
            return
        asks_for_boxes, awaited = reply
        due_at = time.monotonic() + self._answer_within_s if asks_for_boxes else None
        self._waiting.append(_Waiting(envelope, awaited, due_at))
        awaited.future.add_done_callback(self._rouse)

    def _reply(self, frames: list[memoryview]) -> Reply | tuple[bool, Awaited]:
        """At once, or what it waits for and whether that is boxes."""
        request = None
        try:
            request = read(frames)
            match request:
                case ModelAsked():
                    reply = self._detector.asked(request)
                case ModelSent():
                    reply = self._detector.sent(request)
                case Picture():
                    self._counter.saw()
                    self._check_room()
                    reply = self._detector.boxes(request)
        except Exception as error:  # noqa: BLE001 - Frigate waits for an answer whatever it is
            self._turned_away += isinstance(error, TooMuch)
            if isinstance(request, Picture):
                self._counter.add(**{"turned_away" if isinstance(error, TooMuch) else "failed": 1})
            return nothing(error)
        if isinstance(request, Picture) and isinstance(reply, list):
            self._counter.add(answered=1)
        return reply if isinstance(reply, list) else (isinstance(request, Picture), reply)

    def _check_room(self) -> None:
        self._late = [each for each in self._late if not each.future.done()]
        if len(self._waiting) + len(self._late) >= UNANSWERED:
            raise Refused(f"{UNANSWERED} pictures are waiting already")

    def _answer_waiting(self, router: "zmq.Socket[bytes]") -> None:
        """Those whose answer is there, and those who can wait no longer."""
        now = time.monotonic()
        for _ in range(len(self._waiting)):
            each = self._waiting.popleft()
            if each.awaited.future.done():
                _send(router, each.envelope, self._made(each))
            elif each.due_at is not None and each.due_at <= now:
                log.warning(
                    "no boxes for Frigate: no answer within %.0f ms; a `latency_p95` goal in the policy goes down"
                    " the ladder, or raise frigate.answer_within with Frigate's request_timeout_ms",
                    self._answer_within_s * 1e3,
                )
                self._counter.add(dropped=1)
                _send(router, each.envelope, NOTHING_FOUND)
                self._late.append(each.awaited)
            else:
                self._waiting.append(each)

    def _made(self, waiting: _Waiting) -> Reply:
        try:
            reply = waiting.awaited.reply()
        except Exception as error:
            if waiting.due_at is None:
                log.exception("no model of Frigate's")
                return model_taken("", saved=False, loaded=False, message=str(error))
            self._counter.add(failed=1)
            return nothing(error)
        if waiting.due_at is not None:
            self._counter.add(answered=1)
        return reply

    def _rouse(self, _: object = None) -> None:
        with suppress(OSError):  # full: it is awake
            self._wake.send(b"\0")


def endpoint_of(listening: socket.socket) -> str:
    """A listening socket's address as ZeroMQ writes it."""
    if listening.family == socket.AF_UNIX:
        return f"ipc://{listening.getsockname()}"
    host, port = listening.getsockname()[:2]
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def _send(router: "zmq.Socket[bytes]", envelope: list[bytes], reply: Reply) -> None:
    with suppress(zmq.Again):  # it reads no replies
        router.send_multipart([*envelope, *reply], zmq.NOBLOCK)
