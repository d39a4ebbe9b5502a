"""The thread beside the pollers: it hears events, and replaces threads that hang."""

import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from tidegate_drivers.driver_poller import DriverPoller
from tidegate_drivers.wake import Wake

# Storms of uevents exist (TLP#826 reports hundreds a second): each second of one is answered once.
_COALESCE_S = 1.0
# How often threads that hang are looked for: more would wake an idle device for nothing.
_ROUND_S = 5.0


class Watch:
    """Polls at once where a device says that something changed, and leaves hanging threads behind."""

    def __init__(self, pollers: Sequence[DriverPoller]) -> None:
        self._pollers = pollers
        self._wakes: dict[int, tuple[Wake, list[tuple[DriverPoller, frozenset[str]]]]] = {}
        self._opened: dict[Callable[[], Wake], Wake] = {}
        self._asked: set[tuple[DriverPoller, frozenset[str]]] = set()
        self._poll = select.poll()
        self._ended_by, self._ends = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="driver-watch", daemon=True)

    def start(self) -> None:
        """Begin; the sources of events are opened where they can be, and where not, the polls remain."""
        self._listen()
        self._poll.register(self._ended_by, select.POLLIN)
        self._thread.start()

    def _listen(self) -> None:
        """Open what pollers ask for and have not asked for before: some are found only after the start."""
        for poller in self._pollers:
            for wake_on in poller.found.wake_on:
                asked = poller, wake_on.topics
                if asked in self._asked:
                    continue
                self._asked.add(asked)
                try:
                    wake = self._opened.get(wake_on.open) or wake_on.open()
                except OSError:
                    continue
                self._opened[wake_on.open] = wake
                _, listeners = self._wakes.setdefault(wake.fileno(), (wake, []))
                listeners.append((poller, wake_on.topics))
                self._poll.register(wake.fileno(), wake.poll_mask)

    def request_stop(self) -> None:
        """End soon; `join` waits for it."""
        with suppress(OSError):  # a second stop finds it closed
            self._ends.send(b".")

    def join(self, timeout_s: float) -> None:
        """Wait for the thread, at most `timeout_s`, and close what ends it."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._ended_by.close()
        self._ends.close()

    def _run(self) -> None:
        round_due = time.monotonic()
        while True:
            ready = dict(self._poll.poll(1000 * max(0.0, round_due - time.monotonic())))
            if self._ended_by.fileno() in ready:
                break
            for descriptor in ready:
                self._hear(descriptor)
            if time.monotonic() < round_due and not ready:
                continue
            for poller in self._pollers:
                poller.replace_hung_thread()
            self._listen()
            round_due = time.monotonic() + _ROUND_S
            if ready and self._rest():
                break
        for wake, _ in self._wakes.values():
            wake.close()

    def _rest(self) -> bool:
        """Let the events of one second gather; returns whether the end came meanwhile."""
        only_end = select.poll()
        only_end.register(self._ended_by, select.POLLIN)
        return bool(only_end.poll(1000 * _COALESCE_S))

    def _hear(self, descriptor: int) -> None:
        wake, listeners = self._wakes[descriptor]
        try:
            topics = wake.drain()
        except OSError:
            self._poll.unregister(descriptor)
            del self._wakes[descriptor]
            self._opened = {open_: opened for open_, opened in self._opened.items() if opened is not wake}
            wake.close()
            return
        for poller, wanted in listeners:
            if topics is None or topics & wanted:
                poller.poll_now()
