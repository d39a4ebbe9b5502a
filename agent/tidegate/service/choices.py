"""What was chosen at installation, kept for later verbs."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tidegate.service.errors import ServiceError

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Choices:
    """`python` makes the environments; `wheels` is where packages come from without a network.

    `extras` are those of tidegate's that are installed besides, in order.
    """

    python: str
    wheels: str | None = None
    broker: str | None = None
    extras: tuple[str, ...] = ()


def to_json(choices: Choices) -> str:
    """The file's text."""
    return json.dumps({"schema": SCHEMA, **asdict(choices)}, indent=2) + "\n"


def read_choices(path: Path) -> Choices | None:
    """What was chosen before; None when nothing is installed. Raises ServiceError for a stranger's file."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ServiceError(f"{path}: can't be read: {error}; remove it to choose anew") from None
    names = {field.name for field in fields(Choices)}
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("python"), str):
        raise ServiceError(f"{path}: is of no version of tidegate that is known here; remove it to choose anew")
    known = {name: value for name, value in found.items() if name in names}
    return Choices(**{**known, "extras": tuple(known.get("extras", ()))})
