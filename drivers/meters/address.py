"""How a meter is named: `file:/PATH[#KEY.KEY]` or `mqtt://HOST[:PORT]/TOPIC[#KEY.KEY]`."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

ALLOWED = "file:/PATH#KEY, mqtt://HOST:PORT/TOPIC#KEY"
_MQTT_PORT = 1883


@dataclass(frozen=True, slots=True)
class FileMeter:
    """A file that another program writes; `key` leads to the number in JSON, empty for a bare number."""

    path: Path
    key: str


@dataclass(frozen=True, slots=True)
class TopicMeter:
    """A topic at a broker without a password; `key` as in FileMeter."""

    host: str
    port: int
    topic: str
    key: str


def parse(named: str) -> FileMeter | TopicMeter:
    """The meter of that name. Raises ValueError for what names none."""
    parts = urlsplit(named)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return FileMeter(Path(parts.path), parts.fragment)
    topic = parts.path.strip("/")
    if parts.scheme == "mqtt" and parts.hostname and topic:
        return TopicMeter(parts.hostname, parts.port or _MQTT_PORT, topic, parts.fragment)
    raise ValueError("no address of a meter")
