"""One window of telemetry as it travels: only what is known, under short names that stay."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated

from pydantic import ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError

FORM = 1
"""The `v` of a window. A key never changes its meaning within a form; new keys may come."""

KEYS = {
    "v": "v",
    "seq": "seq",
    "at": "t",
    "s": "s",
    "windows": "k",
    "point": "op",
    "points": "ops",
    "risk": "risk",
    "policy": "pv",
    "worker": "wk",
    "restarts": "wr",
    "switches": "sw",
    "requests": "n",
    "failed": "nf",
    "turned_away": "nt",
    "samples": "ns",
    "p50_ms": "p50",
    "p95_ms": "p95",
    "skip": "skip",
    "weights_bytes": "wb",
    "energy_j": "e",
    "total_j": "et",
    "shadow": "sh",
    "readings": "r",
    "low": "lo",
    "high": "hi",
    "models": "m",
}
"""The key that each field travels under (docs/decisions/0011-telemetry-as-short-json.md)."""

MODEL_KEYS = {"state": "st", "point": "op", "requests": "n", "p95_ms": "p95", "weights_bytes": "wb"}
"""The same for what is said of a further model."""

NonNegative = Annotated[float, Field(ge=0)]
Value = float | str


@dataclass(frozen=True, slots=True)
class ModelWindow:
    """What was known of a model beside the main one; None is unknown, or nothing while it isn't loaded."""

    __pydantic_config__ = ConfigDict(extra="ignore", alias_generator=MODEL_KEYS.__getitem__)

    state: str
    point: str | None = None
    requests: NonNegativeInt | None = None
    p95_ms: NonNegative | None = None
    weights_bytes: NonNegativeInt | None = None

    def to_document(self) -> dict[str, object]:
        """As a JSON object, without what is unknown."""
        found = {key: getattr(self, name) for name, key in MODEL_KEYS.items()}
        return {key: _shown(value) for key, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Window:
    """What was known of a device over `s` seconds that ended at `at` (Unix time, s); None or absent is unknown.

    Counts and `energy_j` are sums over the window. `total_j` counts joules since the agent's start. `readings` are
    those that were fresh; their units are in `reported`. In a window made of several (`windows`), readings
    are means weighted by time, `low` and `high` their extremes, and `points` the seconds at each operating point
    (without, it was `point` alone). `shadow` says by point how many samples were compared with the full model, and
    how many disagreed. `models` are those beside the main one, of which all else is told.
    """

    # A newer agent may say more.
    __pydantic_config__ = ConfigDict(extra="ignore", alias_generator=KEYS.__getitem__)

    at: float
    s: NonNegative
    point: str
    policy: int
    worker: str
    restarts: NonNegativeInt
    switches: NonNegativeInt
    v: int = FORM
    seq: NonNegativeInt | None = None
    windows: Annotated[int, Field(ge=1)] = 1
    risk: Annotated[float, Field(ge=0, le=1)] | None = None
    requests: NonNegativeInt | None = None
    failed: NonNegativeInt | None = None
    turned_away: NonNegativeInt | None = None
    samples: NonNegativeInt | None = None
    p50_ms: NonNegative | None = None
    p95_ms: NonNegative | None = None
    skip: Annotated[float, Field(ge=0, le=1)] | None = None
    weights_bytes: NonNegativeInt | None = None
    energy_j: NonNegative | None = None
    total_j: NonNegative | None = None
    shadow: Mapping[str, tuple[NonNegativeInt, NonNegativeInt]] = field(default_factory=dict)
    readings: Mapping[str, Value] = field(default_factory=dict)
    low: Mapping[str, float] = field(default_factory=dict)
    high: Mapping[str, float] = field(default_factory=dict)
    points: Mapping[str, NonNegative] = field(default_factory=dict)
    models: Mapping[str, ModelWindow] = field(default_factory=dict)

    def to_document(self) -> dict[str, object]:
        """As a JSON object without `seq`, which the spool gives, and without what is unknown or empty."""
        document: dict[str, object] = {"v": self.v}
        for name in _NAMES:
            value = getattr(self, name)
            if value is None or value == {} or (name == "windows" and value == 1):
                continue
            document[KEYS[name]] = _shown(value)
        return document


_NAMES = tuple(name for name in KEYS if name not in {"v", "seq"})


def _shown(value: object) -> object:
    """Whole numbers without a decimal point: each costs two bytes."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, ModelWindow):
        return value.to_document()
    if isinstance(value, Mapping):
        return {name: _shown(each) for name, each in value.items()}
    return value


@cache
def window_adapter() -> TypeAdapter[Window]:
    """Reads windows and describes them as a JSON Schema."""
    # Not at import: a device whose broker is there never reads one.
    return TypeAdapter(Window)


def parse_window(data: bytes) -> Window | None:
    """The window in an MQTT payload; None where it is none of a form that is known here."""
    try:
        window = window_adapter().validate_json(data)
    except ValidationError:
        return None
    return window if window.v == FORM else None
