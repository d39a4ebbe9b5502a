"""What shadow runs have shown of each point of one bundle, and which points they took off the ladder; on disk."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from tidegate.files import read_file, replace_file, set_aside
from tidegate.messages import ShadowCount
from tidegate.models.ladder import Ladder
from tidegate.policy.drift import DriftTest
from tidegate.supervisor.control.compared import Compared
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.telemetry.payloads.reported import ComparedPoint

log = logging.getLogger(__name__)

FILE_NAME = "drift.json"


@dataclass(frozen=True, slots=True)
class Demotion:
    """A point off the ladder: since when (ISO 8601), and what it did."""

    point: str
    since: str
    because: str


@dataclass(frozen=True, slots=True)
class _State:
    """The bundle's hash covers its weights, its ladder and the certificates: evidence against another is void.

    `compared` is what was seen under the policy in force alone. `kept` are the tests on kept frames, apart from
    those of shadow runs: both may have seen the same frame.
    """

    bundle: str
    tests: Mapping[str, DriftTest] = field(default_factory=dict)
    demotions: Mapping[str, Demotion] = field(default_factory=dict)
    compared: Compared = field(default_factory=lambda: Compared(0))
    kept: Mapping[str, DriftTest] = field(default_factory=dict)
    format: Literal[1] = 1


@cache
def _state() -> TypeAdapter[_State]:
    return TypeAdapter(_State)


class DriftRecord:
    """The drift guard's memory; only another bundle or `forget` gives a demoted point its place back."""

    def __init__(self, state_dir: Path, bundle: str, ladder: Ladder, emit: Callable[[Event], None]) -> None:
        self._file = state_dir / FILE_NAME
        self._points = {point.name: point for point in ladder.points}
        self._emit = emit
        self.damage = ""
        """What was wrong with the file that was found; empty when nothing was."""
        self._state = self._read(bundle)
        self._told = self._state.compared

    @property
    def demotions(self) -> Mapping[str, Demotion]:
        """The points that are off the ladder, by name."""
        return self._state.demotions

    @property
    def compared(self) -> tuple[ComparedPoint, ...]:
        """What was seen under the policy in force, as of when there was last something new to tell."""
        told = []
        for name, (seen, disagreed) in self._told.counts.items():
            test = DriftTest.of(self._points[name]) if name in self._points else None
            if test is not None and 0.0 < test.bound < 1.0:
                told.append(ComparedPoint(name, seen, disagreed, round(test.bound, 6)))
        return tuple(told)

    def under(self, policy: int) -> None:
        """Another version of the policy decides from now on: what it is judged by begins anew."""
        if policy != self._state.compared.policy:
            self._state = replace(self._state, compared=Compared(policy))
            self._told = self._state.compared

    def note(self, count: ShadowCount) -> None:
        """Book shadow runs; demote a point whose certificate they refute, and say so."""
        point, state = self._points.get(count.point), self._state
        test = None if point is None else state.tests.get(count.point) or DriftTest.of(point)
        if test is None or count.point in state.demotions:
            return
        test = test.observe(count.seen, count.disagreed)
        compared = state.compared.with_count(count)
        if compared.is_news(self._told):
            self._told = compared
        state = self._state = replace(state, tests={**state.tests, count.point: test}, compared=compared)
        if not test.exceeded:
            return
        self._told = compared
        self._demote(count.point, test.in_words, {"seen": test.seen, "disagreed": test.disagreed})

    def note_kept(self, count: ShadowCount) -> None:
        """Book kept frames that nobody has looked at yet, run at a point; demote it as above."""
        point, state = self._points.get(count.point), self._state
        test = None if point is None else state.kept.get(count.point) or DriftTest.of(point)
        if test is None or count.point in state.demotions or not count.seen:
            return
        test = test.observe(count.seen, count.disagreed)
        self._state = replace(state, kept={**state.kept, count.point: test})
        if test.exceeded:
            because = f"{test.in_words}, in frames kept since it was certified: the world has changed, count again"
            self._demote(count.point, because, {"seen": test.seen, "disagreed": test.disagreed})
        else:
            self.save()

    def demote(self, point: str, because: str) -> bool:
        """Take a point off the ladder for another reason; False where it is not on it."""
        if point not in self._points or point in self._state.demotions:
            return False
        self._demote(point, because, {})
        return True

    def restore(self, point: str, because: str) -> None:
        """Give a point back that `demote` took off."""
        if point in self._state.demotions:
            kept = {name: each for name, each in self._state.demotions.items() if name != point}
            self._state = replace(self._state, demotions=kept)
            self.save()
            self._emit(Event(EventKind.CONTROL, f"{point} is back on the ladder: {because}", {"point": point}))

    def _demote(self, point: str, because: str, details: Mapping[str, object]) -> None:
        demotion = Demotion(point, datetime.now(UTC).isoformat(timespec="seconds"), because)
        self._state = replace(self._state, demotions={**self._state.demotions, point: demotion})
        self.save()
        text = f"{point} is demoted: it {because}"
        self._emit(Event(EventKind.FAULT, text, {"point": point, **details}))

    def forget(self, point: str | None) -> tuple[str, ...]:
        """Drop what is held against a point, or against all; gives those that are back on the ladder."""
        state = self._state
        back = tuple(name for name in state.demotions if point in (None, name))
        self._state = _State(
            state.bundle,
            {name: test for name, test in state.tests.items() if point not in (None, name)},
            {name: kept for name, kept in state.demotions.items() if point not in (None, name)},
            state.compared.without(point),
            {name: test for name, test in state.kept.items() if point not in (None, name)},
        )
        self._told = self._state.compared
        self.save()
        for name in back:
            text = f"{name} is back on the ladder: its demotion was forgotten on demand"
            self._emit(Event(EventKind.CONTROL, text, {"point": name}))
        return back

    def save(self) -> None:
        """Write it down; a disk that refuses costs the memory, never the service."""
        try:
            replace_file(self._file, json.dumps(asdict(self._state)))
        except OSError as error:
            log.warning("%s: can't be written: %s; demotions end with this run", self._file, error.strerror)

    def _read(self, bundle: str) -> _State:
        try:
            state = _state().validate_json(read_file(self._file))
        except FileNotFoundError:
            return _State(bundle)
        except OSError as error:
            self.damage = f"{self._file}: {error.strerror}; what it held against points is gone"
            return _State(bundle)
        except ValidationError:
            try:
                kept = f"it is kept as {set_aside(self._file).name}"
            except OSError as error:
                kept = f"it can't be moved aside: {error.strerror}"
            self.damage = f"{self._file}: damaged; {kept}; what it held against points is gone"
            return _State(bundle)
        if state.bundle != bundle:
            return _State(bundle)
        return state
