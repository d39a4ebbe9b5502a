"""What was announced to Home Assistant, kept over restarts: what goes out of agent.yaml is taken back there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tidegate.files import read_file, replace_file
from tidegate.telemetry.topics import DeviceTopics, TopicError

_LONGEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Announced:
    """A device, and the platforms of its components by their ids, but for those of readings."""

    device: str
    components: Mapping[str, str] = field(default_factory=dict)


class HomeAssistantFile:
    """A file in the state directory."""

    def __init__(self, state_dir: Path) -> None:
        self.path = state_dir / "home_assistant"

    def read(self) -> Announced | None:
        """What was announced; None for nothing, also where the file is damaged."""
        try:
            text = read_file(self.path, _LONGEST_BYTES).decode()
            # Before there were components to take back, it was the bare name.
            found = json.loads(text) if text.startswith("{") else {"device": text.strip()}
            device = DeviceTopics(str(found.get("device"))).device
        except (OSError, ValueError, RecursionError, TopicError):
            return None
        components = found.get("components")
        if not isinstance(components, dict):
            return Announced(device)
        return Announced(device, {name: each for name, each in components.items() if isinstance(each, str)})

    def write(self, announced: Announced) -> None:
        """Keep it. Raises OSError."""
        document = {"device": announced.device, "components": dict(announced.components)}
        replace_file(self.path, f"{json.dumps(document)}\n")

    def remove(self) -> None:
        """There is nothing announced any more. Raises OSError."""
        self.path.unlink(missing_ok=True)
