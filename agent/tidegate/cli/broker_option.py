"""A broker as it stands on a command line: HOST, HOST:PORT or [IPV6]:PORT, and what it wants to know."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import fail
from tidegate.documents import DocumentError, read
from tidegate.errors import EX_USAGE
from tidegate.telemetry.broker import Broker

BrokerOption = Annotated[str, typer.Option("--broker", help="HOST or HOST:PORT of the MQTT broker.")]
UsernameOption = Annotated[str | None, typer.Option("--username", help="User name at the broker.")]
PasswordFileOption = Annotated[Path | None, typer.Option("--password-file", help="File with the password.")]
CaOption = Annotated[Path | None, typer.Option("--ca", help="Certificate authority (PEM); turns TLS on.")]
WaitOption = Annotated[
    float, typer.Option("--timeout", "--wait", min=0, max=86400, help="Seconds to wait for verdicts.")
]
_PATTERN = re.compile(r"(?P<host>\[[0-9A-Fa-f:]+\]|[^:\[\]]+)(:(?P<port>[0-9]{1,5}))?")


def parse_broker(text: str) -> Broker:
    """The broker that is meant. Raises typer.BadParameter."""
    found = _PATTERN.fullmatch(text)
    port = int(found["port"] or 1883) if found else 0
    if found is None or not 1 <= port <= 65535:
        raise typer.BadParameter(f"found {text!r}; allowed: HOST, HOST:PORT, [IPV6]:PORT", param_hint="--broker")
    return Broker(found["host"].strip("[]"), port)


def broker_of(text: str, username: str | None, password_file: Path | None, ca: Path | None) -> Broker:
    """The broker with its credentials; ends the command where the password can't be read."""
    try:
        password = None if password_file is None else read(password_file).strip()
    except DocumentError as error:  # not of a configuration, as others are: of this command line
        fail(str(error), EX_USAGE)
    return replace(parse_broker(text), username=username, password=password, tls_ca=ca)
