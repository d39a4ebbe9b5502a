"""Why a request is refused, in words that fit a line."""

import json
from http import HTTPStatus

SHOWN_CHARACTERS = 60
KINDS: dict[type, str] = {bool: "a boolean", str: "a string"}


class BadRequest(Exception):  # noqa: N818 - the protocol's own term
    """The request can't be answered; the message says where, what was found and what is allowed."""

    status = HTTPStatus.BAD_REQUEST


class Forbidden(BadRequest):
    """Whoever asks may not."""

    status = HTTPStatus.FORBIDDEN


class NotFound(BadRequest):
    """Nothing of that name is here."""

    status = HTTPStatus.NOT_FOUND


class Unavailable(BadRequest):
    """The model is known, and doesn't answer now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


def shown(value: object) -> str:
    """What was found, cut to what fits a line, and of what kind it is where that is the point."""
    if isinstance(value, list):
        short = len(value) <= 8 and all(type(each) in {int, float} for each in value)
        return f"[{', '.join(map(shown, value))}]" if short else f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, int) and value.bit_length() > 64:
        return "an integer of more than 64 bits"  # Python refuses to write the longest of them
    text = json.dumps(value) if isinstance(value, float) else repr(value)  # NaN and Infinity as they came
    if isinstance(value, str) and len(value) > SHOWN_CHARACTERS:
        text = f"{value[:SHOWN_CHARACTERS]!r}..."
    kind = KINDS.get(type(value))
    return text if kind is None else f"{text}, {kind}"
