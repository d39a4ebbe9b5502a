"""A broker as it stands on a command line: HOST, HOST:PORT or [IPV6]:PORT."""

import re

import typer

from tidegate.telemetry.broker import Broker

_PATTERN = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[^:\[\]]+)(:(?P<port>[0-9]{1,5}))?")


def parse_broker(text: str) -> Broker:
    """The broker that is meant. Raises typer.BadParameter."""
    found = _PATTERN.fullmatch(text)
    port = int(found["port"] or 1883) if found else 0
    if found is None or not 1 <= port <= 65535:
        raise typer.BadParameter(f"found {text!r}; allowed: HOST, HOST:PORT, [IPV6]:PORT", param_hint="--broker")
    return Broker(found["host"].strip("[]"), port)
