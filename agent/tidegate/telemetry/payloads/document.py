"""A JSON document as an MQTT payload."""

import json
from collections.abc import Mapping


def to_json(document: Mapping[str, object]) -> bytes:
    """Without spaces, UTF-8. Raises TypeError or ValueError for what JSON cannot hold, NaN included."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
