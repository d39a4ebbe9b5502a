"""Snapshots as JSON: what `tidegate status --json` prints, and saved states to explain decisions on."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tidegate.errors import EX_DATAERR, TidegateError
from tidegate.policy.readings import UNITS
from tidegate.validation_words import in_words
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit

MAX_CHARACTERS = 1 << 20


class SnapshotError(TidegateError, ValueError):
    """No snapshot; the message says what is wrong with it."""

    exit_code = EX_DATAERR


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Reading(_Lenient):
    value: Annotated[float, Field(allow_inf_nan=False)] | str | None
    freshness: str = "fresh"
    reason: str = ""


class _Document(_Lenient):
    readings: dict[str, _Reading | Annotated[float, Field(allow_inf_nan=False)] | str | None]
    point: str | None = None


_document = TypeAdapter(_Document)


def read_snapshot(text: str) -> tuple[Snapshot, str | None]:
    """The snapshot and the point in force, if the text has one. Raises SnapshotError.

    Readings are `{"value": ...}` as in a status, or bare values: `{"readings": {"battery": 18}}`. Those that the
    status calls stale or unavailable are unavailable here.
    """
    if len(text) > MAX_CHARACTERS:
        raise SnapshotError(f"{len(text)} characters; a snapshot has at most {MAX_CHARACTERS}")
    try:
        document = _document.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = in_words(first["msg"])
        found = said[0].lower() + said[1:]
        where = ".".join(str(part) for part in first["loc"])
        allowed = 'the output of `tidegate status --json`, or {"readings": {"battery": 18}}'
        raise SnapshotError(f"{where}: {found}; allowed: {allowed}".removeprefix(": ")) from None
    readings = {}
    for name, given in document.readings.items():
        reading = given if isinstance(given, _Reading) else _Reading(value=given)
        value = reading.value if reading.freshness == "fresh" else None
        unit = UNITS.get(name.partition("/")[0], Unit.NAME)
        if value is None:
            reason = reading.reason or f"the snapshot says {reading.freshness}"
            readings[name] = Reading.unavailable(unit, 0.0, "snapshot", reason)
        else:
            readings[name] = Reading(value, unit, 0.0, Provenance.ESTIMATED, "snapshot")
    return Snapshot(0.0, readings), document.point
