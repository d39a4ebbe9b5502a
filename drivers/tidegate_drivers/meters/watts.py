"""Watts out of what meters write: a bare number, or a JSON document with a path to the number."""

import json
import math

_MOST_W = 100_000.0


def parse(text: str, path: str) -> float:
    """The power in W; `path` names the place in a document, as in `ENERGY.Power`. Raises ValueError."""
    value: object = json.loads(text)
    for key in filter(None, path.split(".")):
        if not isinstance(value, dict) or key not in value:
            raise ValueError(f"no {key!r} of the path {path!r} in {text[:60]!r}")
        value = value[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(  # noqa: TRY004  what came in is wrong, not what was passed
            f"{value!r:.60} is not a number of watts; name its place, as in #ENERGY.Power"
        )
    if not math.isfinite(value) or not 0 < value <= _MOST_W:
        raise ValueError(f"{value:g} W can't be what this device draws")
    return float(value)
