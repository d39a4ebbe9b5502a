"""The broker of agent.yaml with what it refers to: its password, the certificate authorities."""

import ssl
from pathlib import Path

from tidegate import config as configuration
from tidegate.documents import read
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.telemetry.broker import Broker


class BrokerConfigError(TidegateError):
    """The broker can't be talked to as configured; the message says what to set."""

    exit_code = EX_UNAVAILABLE


def broker_address(broker: configuration.Broker | None) -> Broker | None:
    """The configured broker with its password read. Raises DocumentError or BrokerConfigError."""
    if broker is None:
        return None
    password = None
    if broker.password_file is not None:
        password = read(broker.password_file).strip()
    authorities = None
    if broker.tls is not None:
        authorities = broker.tls.ca or _system_authorities()
    per_day = None if broker.data_per_day is None else int(broker.data_per_day)
    return Broker(broker.host, broker.port, broker.username, password, authorities, per_day)


def _system_authorities() -> Path:
    file = ssl.get_default_verify_paths().cafile
    if file is None:
        raise BrokerConfigError(
            "broker.tls: this system has no file of certificate authorities; name one with `ca`"
        )
    return Path(file)
