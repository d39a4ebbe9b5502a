"""What came of the last counts, on disk: a restart need not count again what was counted."""

import json
import logging
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from tidegate.files import read_file, replace_file
from tidegate.telemetry.payloads.reported import Recount

log = logging.getLogger(__name__)

FILE_NAME = "recount.json"


@dataclass(frozen=True, slots=True)
class Recounted:
    """Of one bundle with its certificates (`identity`): the last count on another runtime.

    `looked_until_s` is until when frames were looked at, Unix time; 0 before any.
    """

    identity: str
    recount: Recount | None = None
    looked_until_s: int = 0
    format: Literal[1] = 1


@cache
def _recounted() -> TypeAdapter[Recounted]:
    return TypeAdapter(Recounted)


def read_recounted(state_dir: Path, identity: str) -> Recounted:
    """As it was left; nothing is known of another bundle, of other certificates, or from a damaged file."""
    with suppress(OSError, ValidationError):
        found = _recounted().validate_json(read_file(state_dir / FILE_NAME))
        if found.identity == identity:
            return found
    return Recounted(identity)


def write_recounted(state_dir: Path, recounted: Recounted) -> None:
    """A disk that refuses costs another count after the next start."""
    try:
        replace_file(state_dir / FILE_NAME, json.dumps(asdict(recounted)))
    except OSError as error:
        log.warning("%s: can't be written: %s", state_dir / FILE_NAME, error.strerror)
