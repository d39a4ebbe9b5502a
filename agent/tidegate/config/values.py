"""Values of agent.yaml: paths, names and addresses, as text that is checked."""

import contextlib
import os
import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from tidegate.boards import find_profile, ready_profiles
from tidegate.documents import DocumentError, refuse
from tidegate_drivers.meters import address

BASE = "base"
_MAX_SOCKET_PATH = 103  # bytes; sun_path holds 104 on macOS and 108 on Linux, the last being NUL


def absolute(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise refuse("expected a path", allowed="a path, absolute or relative to this file")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", value):
        hint = (
            f"write `{value.partition('://')[2] or '/'}`" if value.startswith(("ipc:", "unix:", "file:")) else ""
        )
        raise refuse(
            "an address in the place of a path", allowed="a path, absolute or relative to this file", hint=hint
        )
    base = (info.context or {}).get(BASE, Path())
    path = Path(value)
    try:
        path = path.expanduser()
    except RuntimeError:
        raise refuse("no such user, or one without a home directory", hint="write the path out") from None
    return Path(os.path.normpath(base / path))


def _topic_level(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        allowed = "1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit"
        raise refuse("not usable in an MQTT topic", allowed=allowed)
    return value


def _fits_sun_path(path: Path) -> Path:
    length = len(os.fsencode(path))
    if length > _MAX_SOCKET_PATH:
        allowed = f"at most {_MAX_SOCKET_PATH} bytes as an absolute path, this is {length}"
        raise refuse("too long for a Unix socket", allowed=allowed, hint="use a directory nearer to the root")
    return path


FilePath = Annotated[Path, BeforeValidator(absolute)]
SocketPath = Annotated[FilePath, AfterValidator(_fits_sun_path)]
TopicLevel = Annotated[str, AfterValidator(_topic_level)]


def _board(value: object, info: ValidationInfo) -> str:
    """A ready profile's name as it is; a path to a profile made absolute, which is read where it is needed."""
    if isinstance(value, str) and value.endswith(".yaml"):
        return str(absolute(value, info))
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", value):
        known = ", ".join(ready_profiles())
        raise refuse("expected a board", allowed=f"{known}, or a path that ends in .yaml")
    try:
        find_profile(value)
    except DocumentError as error:
        first = error.problems[0]
        raise refuse(first.message, allowed=first.allowed, nearest=first.nearest, hint=first.hint) from None
    return value


BoardName = Annotated[str, BeforeValidator(_board)]


def _host_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", value):
        raise refuse("not a host name", allowed="a name such as gate-7.lan, without scheme and port")
    return value.lower()


HostName = Annotated[str, AfterValidator(_host_name)]


def _host(value: str) -> str:
    """An IP address, or a name to look up: underscores and other alphabets are names to many resolvers."""
    with contextlib.suppress(ValueError):
        ip_address(value)
        return value
    if re.fullmatch(r"\w([\w.-]{0,251}[\w.])?", value):
        return value
    bare = re.fullmatch(r"(?:[A-Za-z]+://)?(?:[^@/]*@)?\[?(.*?)\]?(?::([0-9]{1,5}))?/?", value)
    hint = ""
    if bare is not None and bare[1] != value and re.fullmatch(r"[\w.:-]+", bare[1]):
        hint = f"write `{bare[1]}`" + (f", and `port: {bare[2]}` beside it" if bare[2] else "")
    raise refuse("no host", allowed="an IP address or a name, without scheme, port and brackets", hint=hint)


Host = Annotated[str, AfterValidator(_host)]


def _interface(value: str) -> str:
    """An address to listen on, as a number or as a name that the system finds."""
    with contextlib.suppress(ValueError):
        return str(ip_address(value))
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", value):
        allowed = "an IP address or name of this machine, without scheme and port; 0.0.0.0 or :: for all"
        raise refuse("no address to listen on", allowed=allowed)
    return value


Interface = Annotated[str, AfterValidator(_interface)]


def _ip_address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        hint = "write `127.0.0.1`" if value == "localhost" else ""
        allowed = "an address of this machine in numbers, or 0.0.0.0 for all"
        raise refuse("not an IP address", allowed=allowed, hint=hint) from None


IpAddress = Annotated[str, AfterValidator(_ip_address)]


def _meter(value: str) -> str:
    try:
        address.parse(value)
    except ValueError as error:
        hint = "for example file:/run/meter.json#power_w, mqtt://broker/plug#apower or hwmon://ina219/power1"
        raise refuse(str(error), allowed=address.ALLOWED, hint=hint) from None
    return value


MeterAddress = Annotated[str, AfterValidator(_meter)]
ControlName = Literal["cpu_governor", "cpu_max_frequency", "platform_profile"]


def _way_to_suspend(value: str) -> str:
    if value in {"systemd", "pmset"}:
        return value
    allowed = "`systemd`, `pmset`, or the absolute path of an executable"
    if not value.startswith("/"):
        raise refuse(
            "no way to suspend this system", allowed=allowed, hint="leave it out and the worker alone sleeps"
        )
    if not os.access(value, os.X_OK) or Path(value).is_dir():
        raise refuse("nothing that can be run", allowed=allowed, hint=f"sudo chmod +x {value}")
    return value


SuspendBy = Annotated[str, AfterValidator(_way_to_suspend)]
