"""What a policy may take from the board it runs on: named limits, zones by role, and defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate.documents import Document


@dataclass(frozen=True, slots=True)
class Board:
    """`limits` are quantities as they are written, by name; `zones` thermal zone types by role.

    `defaults` holds keys of a policy document, marked where they stand in the board's profile.
    """

    name: str
    limits: Mapping[str, str] = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)
    defaults: Document | None = None
