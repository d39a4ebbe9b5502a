"""Whether a device is there, retained on its `status` topic; also its Will."""

from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tidegate.telemetry.payloads.document import to_json


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """`session` counts the agent's starts, and pairs a death with its birth.

    `since` is Unix time, s; None where the moment is not known, as that of a death nobody announced.
    """

    # A newer agent may say more.
    __pydantic_config__ = ConfigDict(extra="ignore")

    state: Literal["online", "offline"]
    session: int
    since: float | None

    def to_payload(self) -> bytes:
        """As an MQTT payload, the time in milliseconds."""
        return to_json(asdict(self) | {"since": None if self.since is None else round(self.since, 3)})


_status: TypeAdapter[DeviceStatus] = TypeAdapter(DeviceStatus)


def parse_device_status(data: bytes) -> DeviceStatus | None:
    """The status in an MQTT payload; None where it is none of ours."""
    try:
        return _status.validate_json(data)
    except ValidationError:
        return None
