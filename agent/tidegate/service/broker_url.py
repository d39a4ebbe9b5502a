"""`--broker mqtt://[user@]host[:port]` as the keys of agent.yaml."""

import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from tidegate.service.errors import UsageError

PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """`tls` for mqtts, which trusts the system's authorities."""

    host: str
    port: int
    username: str | None
    tls: bool

    def as_yaml(self, password_file: str | None) -> str:
        """The value of `broker:` on one line."""
        parts = [f"host: {json.dumps(self.host)}", f"port: {self.port}"]
        if self.username is not None:
            parts.append(f"username: {json.dumps(self.username)}")
        if password_file is not None:
            parts.append(f"password_file: {json.dumps(password_file)}")
        if self.tls:
            parts.append("tls: {}")
        return "{" + ", ".join(parts) + "}"


def parse_broker(url: str) -> BrokerAddress:
    """Raises UsageError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(
            f"--broker {url}: {error}; for example mqtt://mqtt-host or mqtts://me@broker:8883"
        ) from None
    if parts.password is not None:
        raise UsageError(
            "--broker: a password on the command line is seen by everybody on this machine; "
            "put it into a file and name that with --broker-password-file"
        )
    if parts.scheme not in PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
        raise UsageError(f"--broker {url}: allowed is mqtt://[user@]host[:port], or mqtts:// for TLS")
    return BrokerAddress(parts.hostname, port or PORTS[parts.scheme], parts.username, parts.scheme == "mqtts")
