"""How a meter is named. Behind `#` stands what leads to the number: the keys in JSON, or the variable of a UPS.

`file:/PATH#KEY`, `mqtt[s]://[USER@]HOST[:PORT]/TOPIC[?password_file=/PATH&ca=/PATH]#KEY`,
`hwmon://CHIP[@DEVICE]/CHANNEL`, `nut://[USER@]HOST[:PORT]/UPS[?password_file=/PATH][#ups.realpower]`.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

ALLOWED = (
    "file:/PATH#KEY, mqtt[s]://[USER@]HOST[:PORT]/TOPIC[?password_file=/PATH&ca=/PATH]#KEY, "
    "hwmon://CHIP[@DEVICE]/CHANNEL, nut://[USER@]HOST[:PORT]/UPS[?password_file=/PATH][#ups.realpower]"
)
_PORTS = {"mqtt": 1883, "mqtts": 8883}
NUT_PORT = 3493
_OPTIONS = frozenset({"password_file", "ca"})
_UPS = re.compile(r"[A-Za-z0-9._-]{1,64}")
_VARIABLE = re.compile(r"[a-z0-9]+(\.[a-z0-9]+)+")


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


@dataclass(frozen=True, slots=True)
class ChipMeter:
    """A channel of a hwmon chip, by its file's name or its label; `chip` is as doctor prints it."""

    chip: str
    channel: str


@dataclass(frozen=True, slots=True)
class UpsMeter:
    """A UPS at a NUT server. `power_variable` is what this machine draws, None where the UPS feeds others too."""

    host: str
    port: int
    ups: str
    power_variable: str | None = None
    username: str | None = None
    password_file: Path | None = None


Address = FileMeter | TopicMeter | ChipMeter | UpsMeter


def parse(named: str) -> Address:
    """The meter of that name. Raises ValueError for what names none."""
    parts = urlsplit(named)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return FileMeter(Path(parts.path), parts.fragment)
    if parts.scheme in _PORTS and parts.hostname and parts.path.strip("/"):
        return _topic_meter(parts, parts.hostname, parts.path.strip("/"))
    if parts.scheme == "hwmon" and parts.netloc and parts.path.strip("/") and not (parts.query or parts.fragment):
        # Not `hostname`, which is in lower case.
        return ChipMeter(unquote(parts.netloc), unquote(parts.path.strip("/")))
    if parts.scheme == "nut" and parts.hostname and parts.path.strip("/"):
        return _ups_meter(parts, parts.hostname, unquote(parts.path.strip("/")))
    raise ValueError("not a meter's address")


def _topic_meter(parts: SplitResult, host: str, topic: str) -> TopicMeter:
    if "+" in topic:
        raise ValueError(f"{topic!r} is a topic filter; a meter is one topic")
    username, options = _login(parts, _OPTIONS)
    if "ca" in options and parts.scheme != "mqtts":
        raise ValueError("`ca` needs TLS: mqtts://")
    port = parts.port or _PORTS[parts.scheme]
    tls = parts.scheme == "mqtts"
    password_file, ca = options.get("password_file"), options.get("ca")
    return TopicMeter(host, port, topic, parts.fragment, username, password_file, tls, ca)


def _ups_meter(parts: SplitResult, host: str, ups: str) -> UpsMeter:
    if not _UPS.fullmatch(ups):
        raise ValueError(f"{ups!r} is not a valid UPS name")
    if parts.fragment and not _VARIABLE.fullmatch(parts.fragment):
        raise ValueError(f"{parts.fragment!r} is not a UPS variable such as ups.realpower")
    username, options = _login(parts, frozenset({"password_file"}))
    port = parts.port or NUT_PORT
    return UpsMeter(host, port, ups, parts.fragment or None, username, options.get("password_file"))


def _login(parts: SplitResult, allowed: frozenset[str]) -> tuple[str | None, dict[str, Path]]:
    """The user and the files that the options name. Raises ValueError."""
    if parts.password is not None:
        raise ValueError("a password in an address is read by everybody; name a file: ?password_file=/PATH")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := options.keys() - allowed:
        raise ValueError(f"unknown option {min(unknown)!r}; allowed are {', '.join(sorted(allowed))}")
    if any(not path.startswith("/") for path in options.values()):
        raise ValueError(f"{' and '.join(sorted(allowed))}: absolute paths only")
    if "password_file" in options and not parts.username:
        raise ValueError(f"a password without a user: {parts.scheme}://USER@HOST")
    return unquote(parts.username) if parts.username else None, {name: Path(options[name]) for name in options}
