"""The network between devices and a broker: a proxy that cuts, falls silent or slows down, and records.

It has no thread of its own, so that its owner may fork: `step` passes on what there is.
"""

import selectors
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random

from tidegate_bench.mqtt.recorded_packets import Record, Recorder

_AT_ONCE_BYTES = 16 << 10
_SLOW_BYTES_PER_S = 20_000
_LONGEST_CUT_BYTES = 4_000


class Weather(StrEnum):
    """What the network does to each connection."""

    FAIR = "fair"
    CUT = "cut"
    """Ends it after some bytes, in the middle of a packet as well."""
    HALF_OPEN = "half-open"
    """Passes on nothing after some bytes, and ends nothing."""
    SLOW = "slow"
    AWAY = "away"
    """Refuses it."""


@dataclass(slots=True, eq=False)
class _Connection:
    device: socket.socket
    broker: socket.socket
    recorder: Recorder
    left_bytes: int | None
    torn: bool = False
    not_before: dict[socket.socket, float] = field(default_factory=dict)


class TornNetwork:
    """Listens on 127.0.0.1 in front of a broker; use as a context manager."""

    def __init__(self, broker_port: int, chance: Random) -> None:
        self.record = Record()
        self.weather = Weather.FAIR
        self.torn: dict[Weather, int] = dict.fromkeys(Weather, 0)
        self._broker_port = broker_port
        self._chance = chance
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setblocking(False)
        self.port: int = self._listening.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._connections: list[_Connection] = []

    def watch(self, descriptor: int) -> None:
        """Have `step` return also when there is something to read here."""
        self._selector.register(descriptor, selectors.EVENT_READ)

    def forget(self, descriptor: int) -> None:
        """Not any more."""
        self._selector.unregister(descriptor)

    def step(self, timeout_s: float) -> set[int]:
        """Wait for something and pass on what there is; gives the watched descriptors that can be read."""
        watched = set()
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj is self._listening:
                self._accept()
            elif isinstance(key.data, _Connection) and isinstance(key.fileobj, socket.socket):
                # Both sides may be ready, and the first have ended or torn it.
                if not key.data.torn:
                    self._pass_on(key.data, key.fileobj)
            else:
                watched.add(key.fd)
        return watched

    def hang_up(self) -> None:
        """End every connection: its device is dead."""
        for connection in tuple(self._connections):
            self._end(connection)

    def __enter__(self) -> "TornNetwork":
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._selector.close()
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            device, _ = self._listening.accept()
            if self.weather is Weather.AWAY:
                self.torn[Weather.AWAY] += 1
                device.close()
                return
            try:
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
            except OSError:
                device.close()
                return
            tears = self.weather in {Weather.CUT, Weather.HALF_OPEN}
            left_bytes = self._chance.randint(1, _LONGEST_CUT_BYTES) if tears else None
            connection = _Connection(device, broker, Recorder(self.record), left_bytes)
            self._connections.append(connection)
            for side in (device, broker):
                self._selector.register(side, selectors.EVENT_READ, connection)

    def _pass_on(self, connection: _Connection, source: socket.socket) -> None:
        if self.weather is Weather.SLOW and time.monotonic() < connection.not_before.get(source, 0.0):
            time.sleep(0.001)
            return
        try:
            limit = 256 if self.weather is Weather.SLOW else _AT_ONCE_BYTES
            data = source.recv(limit)
        except OSError:
            data = b""
        if not data:
            self._end(connection)
            return
        if self.weather is Weather.SLOW:
            self.torn[Weather.SLOW] += 1
            connection.not_before[source] = time.monotonic() + len(data) / _SLOW_BYTES_PER_S
        kept = data if connection.left_bytes is None else data[: connection.left_bytes]
        from_device = source is connection.device
        # What the broker has said counts even where the device never hears it.
        (connection.recorder.device_says if from_device else connection.recorder.broker_says)(kept)
        try:
            (connection.broker if from_device else connection.device).sendall(kept)
        except OSError:
            self._end(connection)
            return
        if connection.left_bytes is not None:
            connection.left_bytes -= len(kept)
            if connection.left_bytes <= 0:
                self._tear(connection)

    def _tear(self, connection: _Connection) -> None:
        self.torn[self.weather] += 1
        connection.torn = True
        if self.weather is Weather.HALF_OPEN:
            # Nothing is read any more: what is sent lies in the kernel's buffers, as on the way of lost packets.
            for side in (connection.device, connection.broker):
                self._selector.unregister(side)
        else:
            self._end(connection)

    def _end(self, connection: _Connection) -> None:
        connection.torn = True
        self._connections.remove(connection)
        for side in (connection.device, connection.broker):
            with suppress(KeyError):
                self._selector.unregister(side)
            side.close()
