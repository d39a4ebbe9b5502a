"""`tidegate bundle push-certificate`: a device's own certificate, sent to it over MQTT."""

from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.broker_option import (
    BrokerOption,
    CaOption,
    PasswordFileOption,
    UsernameOption,
    WaitOption,
    broker_of,
)
from tidegate.cli.console import fail
from tidegate.cli.json_option import JsonOption
from tidegate.cli.push_verdict import push_and_tell
from tidegate.errors import EX_DATAERR
from tidegate.files import read_file
from tidegate.models.bundle.statement import MAX_BYTES, PAYLOAD_TYPE, read_statement
from tidegate.telemetry.payloads.envelope import Target
from tidegate.trust.dsse import DsseError, parse_envelope


def push_certificate_command(
    file: Annotated[Path, typer.Argument(help="What `bundle certify --device ID --certificate FILE` wrote.")],
    broker: BrokerOption = "127.0.0.1",
    username: UsernameOption = None,
    password_file: PasswordFileOption = None,
    ca: CaOption = None,
    wait_s: WaitOption = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Send a device its own certificate: 0 when it took it, 65 when not, 75 when it said nothing in time."""
    try:
        envelope = parse_envelope(read_file(file, 2 * MAX_BYTES), 2 * MAX_BYTES)
    except OSError as error:
        fail(f"{file}: {error.strerror}; `bundle certify --device ID --certificate FILE` writes one", EX_DATAERR)
    except DsseError as error:
        fail(f"{file}: {error}", EX_DATAERR)
    if envelope.payload_type != PAYLOAD_TYPE:
        fail(f"{file}: is no certificate but {envelope.payload_type[:80]}", EX_DATAERR)
    told = read_statement(envelope.payload, str(file))
    if told.device is None:
        fail(f"{file}: names no device, and none takes it over MQTT; count with --device ID", EX_DATAERR)
    what = f"certificate on {told.data}"
    address = broker_of(broker, username, password_file, ca)
    push_and_tell(address, envelope, Target("device", told.device), what, wait_s, as_json=as_json)
