"""How a meter is named: `file:/PATH#KEY` or `mqtt[s]://[USER@]HOST[:PORT]/TOPIC[?password_file=/PATH&ca=/PATH]#KEY`."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

ALLOWED = "file:/PATH#KEY, mqtt[s]://[USER@]HOST[:PORT]/TOPIC[?password_file=/PATH&ca=/PATH]#KEY"
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_OPTIONS = frozenset({"password_file", "ca"})


@dataclass(frozen=True, slots=True)
class FileMeter:
    """A file that another program writes; `key` leads to the number in JSON, empty for a bare number."""

    path: Path
    key: str


@dataclass(frozen=True, slots=True)
class TopicMeter:
    """A topic at a broker; `key` as in FileMeter.

    The password is in a file of its own, so that the address can be shown around. With `tls` and no `ca` (a PEM
    file) the system's authorities are trusted.
    """

    host: str
    port: int
    topic: str
    key: str
    username: str | None = None
    password_file: Path | None = None
    tls: bool = False
    ca: Path | None = None


def parse(named: str) -> FileMeter | TopicMeter:
    """The meter of that name. Raises ValueError for what names none."""
    parts = urlsplit(named)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return FileMeter(Path(parts.path), parts.fragment)
    if parts.scheme in _PORTS and parts.hostname and parts.path.strip("/"):
        return _topic_meter(parts, parts.hostname, parts.path.strip("/"))
    raise ValueError("no address of a meter")


def _topic_meter(parts: SplitResult, host: str, topic: str) -> TopicMeter:
    if parts.password is not None:
        raise ValueError("a password in an address is read by everybody; name a file: ?password_file=/PATH")
    if "+" in topic:
        raise ValueError(f"{topic!r} is many topics, and a meter is one")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - _OPTIONS:
        raise ValueError(f"no option is called {min(unknown)!r}")
    if any(not path.startswith("/") for path in options.values()):
        raise ValueError("password_file and ca are absolute paths")
    if "password_file" in options and not parts.username:
        raise ValueError("a password without a user: mqtt://USER@HOST")
    if "ca" in options and parts.scheme != "mqtts":
        raise ValueError("an authority without TLS: mqtts://")
    password_file, ca = (Path(options[name]) if name in options else None for name in ("password_file", "ca"))
    username = unquote(parts.username) if parts.username else None
    port = parts.port or _PORTS[parts.scheme]
    return TopicMeter(host, port, topic, parts.fragment, username, password_file, parts.scheme == "mqtts", ca)
