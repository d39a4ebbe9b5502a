"""One thing that was looked at."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from tidegate.errors import TidegateError

T = TypeVar("T")
Verdict = Literal["ok", "warning", "fault"]


@dataclass(frozen=True, slots=True)
class Check:
    """`said` is what was found in a sentence; `way_out` what to do about it, empty where nothing is to be done."""

    name: str
    verdict: Verdict
    said: str
    way_out: str = ""


def attempt(name: str, found: list[Check], work: Callable[[], T]) -> T | None:
    """What `work` gives; None when it raises what a user can act on, which is noted as a fault of `name`."""
    try:
        return work()
    except TidegateError as error:
        found.append(Check(name, "fault", str(error)))
    except OSError as error:
        found.append(Check(name, "fault", f"{error.filename or 'this machine'}: {error.strerror or error}"))
    return None
