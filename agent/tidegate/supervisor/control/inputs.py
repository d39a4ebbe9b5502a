"""Numbers that outside sources publish, as readings `input/<name>`: each for a stated time, then it is stale."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tidegate.policy.readings import INPUT, INPUT_NAME, UNITS
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.telemetry.heard import Heard
from tidegate.telemetry.payloads.input import InputMessage
from tidegate.validation_words import in_words
from tidegate_drivers.reading import Provenance, Reading

MOST = 64
"""How many inputs are kept: names come from whoever may publish."""
LONGEST_BYTES = 1024
"""A number with its time and ttl has under 100."""
RATE_HZ = 20.0
"""Values of one input that are taken as they come; of more, the latest is taken when the control loop looks."""
CLOCKS_APART_S = 60.0
"""How far ahead a sender's clock may be; a value from later than that has no age to speak of."""
_LONGEST_S = 7 * 86_400.0
_ALLOWED = 'a number, or {"value": number, "at": Unix seconds, "ttl_s": seconds}'

Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    value: Finite
    at: Finite | None = None
    ttl_s: Annotated[Finite, Field(gt=0, le=_LONGEST_S)] | None = None


@cache
def _payload() -> TypeAdapter[Finite | _Payload]:
    return TypeAdapter(Finite | _Payload)


class _RefusedError(ValueError):
    """A publication that is not a value; the message says why."""


class Inputs:
    """`receive` may be called on any thread, `readings` too. A bad publication leaves the last value to its time.

    `emit` hears of the first bad one of each name, until a good one has come.
    """

    def __init__(
        self,
        max_age_s: float,
        emit: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
        counts: Heard | None = None,
    ) -> None:
        self.max_age_s = max_age_s
        self.on_change: Callable[[str], None] = lambda _name: None
        """Called with the name of each reading that has a new value, on the thread that brought it."""
        self._counts = counts or Heard()
        self._emit = emit
        self._clock = clock
        self._unix_clock = unix_clock
        self._readings: Mapping[str, Reading] = {}
        self._complained: dict[str, None] = {}
        self._lock = threading.Lock()
        self._taken_at: dict[str, float] = {}
        self._waiting: dict[str, InputMessage] = {}

    def readings(self) -> Mapping[str, Reading]:
        """The latest value of each; whether it is still fresh is the snapshot's to say."""
        if self._waiting:
            with self._lock:
                waiting, self._waiting = self._waiting, {}
                for message in waiting.values():
                    self._take(message)
        return self._readings

    def receive(self, message: InputMessage) -> None:
        """Take a publication; an empty one, which is how a kept one is cleared, takes the input away."""
        with self._lock:
            now = self._clock()
            # A bucket per known name, and one for all that is none: names come from whoever may publish.
            source = message.name if f"{INPUT}/{message.name}" in self._readings else ""
            bucket = max(self._taken_at.get(source, now - 1.0), now - 1.0)
            if message.name in self._waiting:
                del self._waiting[message.name]
                self._counts.note("input", "overtaken")
            if bucket + 1.0 / RATE_HZ > now and source:
                self._waiting[message.name] = message
                return
            self._taken_at[source] = bucket + 1.0 / RATE_HZ
            self._take(message)

    def _take(self, message: InputMessage) -> None:
        name = f"{INPUT}/{message.name}"
        try:
            if not message.payload:
                self._readings = {each: kept for each, kept in self._readings.items() if each != name}
                self._taken_at.pop(message.name, None)
                self._counts.note("input", "cleared")
                return
            reading = self._reading(name, message)
        except _RefusedError as refusal:
            self._counts.note("input", "refused")
            self._complain(message, str(refusal))
            return
        self._counts.note("input", "taken")
        self._complained.pop(message.name, None)
        before = self._readings.get(name)
        # What the broker had kept comes again at every connection, after newer values.
        if before is None or before.at <= reading.at:
            self._readings = {**self._readings, name: reading}
            self.on_change(name)

    def _reading(self, name: str, message: InputMessage) -> Reading:
        if INPUT_NAME.fullmatch(message.name) is None:
            raise _RefusedError(
                "policies can't use its name; allowed: 1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit"
            )
        if len(message.payload) > LONGEST_BYTES:
            raise _RefusedError(f"it has {len(message.payload)} bytes; allowed are {LONGEST_BYTES}")
        if name not in self._readings and not self._room():
            raise _RefusedError(f"found one input more than the {MOST} that are kept; publish fewer")
        given = _parsed(message.payload)
        age_s = 0.0 if given.at is None else self._unix_clock() - given.at
        if age_s < -CLOCKS_APART_S:
            raise _RefusedError(f"its time is {-age_s:.0f} s ahead of this device's clock")
        if message.kept and given.at is None and message.expiry_s is None:
            raise _RefusedError("the broker had kept it, and neither `at` nor a message expiry says how old it is")
        max_age_s = given.ttl_s or message.expiry_s or self.max_age_s
        if message.expiry_s is not None:
            max_age_s = min(max_age_s, max(0.0, age_s) + message.expiry_s)
        at = self._clock() - max(0.0, age_s)
        return Reading(float(given.value), UNITS[INPUT], at, Provenance.ESTIMATED, f"mqtt/{name}", max_age_s)

    def _room(self) -> bool:
        """Whether there is room for one more name; the one that has been stale for longest makes it."""
        if len(self._readings) < MOST:
            return True
        name, oldest = min(self._readings.items(), key=lambda item: item[1].at + item[1].max_age_s)
        if oldest.at + oldest.max_age_s >= self._clock():
            return False
        self._readings = {each: kept for each, kept in self._readings.items() if each != name}
        self._taken_at.pop(name.removeprefix(f"{INPUT}/"), None)
        return True

    def _complain(self, message: InputMessage, why: str) -> None:
        name = message.name[:64]
        if name in self._complained:
            return
        if len(self._complained) >= MOST:
            del self._complained[next(iter(self._complained))]
        self._complained[name] = None
        text = f"input {name} is refused: {why}"
        details: dict[str, object] = {"input": name, "payload": repr(message.payload[:60])}
        # Names without a value are anybody's, and together one source.
        source = f"{INPUT}/{name}" if f"{INPUT}/{name}" in self._readings else INPUT
        self._emit(Event(EventKind.FAULT, text, details, source=source))


def _parsed(payload: bytes) -> _Payload:
    try:
        given = _payload().validate_json(payload)
    except ValidationError as error:
        what = in_words(error.errors(include_url=False)[0]["msg"]) if payload[:1] == b"{" else "no number"
        raise _RefusedError(f"{what}; allowed: {_ALLOWED}") from None
    return given if isinstance(given, _Payload) else _Payload(value=given)
