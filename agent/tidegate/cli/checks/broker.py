"""Whether the broker answers this device, and how long its certificate lasts."""

import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress

from tidegate.cli.checks.check import Check
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.link import trouble
from tidegate.telemetry.link.paho_client import make_client

ANSWER_S = 10.0
RENEW_DAYS = 30.0


def check_broker(broker: Broker, answer_s: float = ANSWER_S) -> Iterator[Check]:
    """A real MQTT connection with the agent's credentials, under a name of its own; takes seconds at most."""
    problem = _no_answer(broker, answer_s)
    if problem:
        where, _, reason = problem.partition(": ")
        said, _, way_out = reason.partition("; ")
        yield Check("broker", "fault", f"{where}: {said}", way_out)
    else:
        yield Check("broker", "ok", f"{broker} answers and lets this device in")
    if broker.tls_ca is not None:
        yield from _certificate(broker, answer_s)


def _no_answer(broker: Broker, answer_s: float) -> str:
    """Why there is no session with the broker; empty when there is."""
    answered, refusals = threading.Event(), [""]

    def connected(_client: object, _data: object, _flags: object, reason: object, _properties: object) -> None:
        if getattr(reason, "is_failure", False):
            code, name = int(getattr(reason, "value", 0)), str(reason)
            refusals[0] = trouble.refusal(broker, code, name, trouble.IN_AGENT_YAML)
        answered.set()

    def disconnected(*_: object) -> None:
        if not answered.is_set():
            refusals[0] = trouble.hung_up(broker, trouble.IN_AGENT_YAML)
            answered.set()

    try:
        client = make_client(broker, f"tidegate-doctor-{uuid.uuid4().hex[:12]}")
        client.on_connect, client.on_disconnect = connected, disconnected
        client.connect_timeout = answer_s
        client.connect(broker.host, broker.port)
    except (OSError, ValueError) as error:
        return trouble.no_connection(broker, error, trouble.IN_AGENT_YAML)
    client.loop_start()
    try:
        if not answered.wait(answer_s):
            return trouble.no_answer(broker, answer_s, trouble.IN_AGENT_YAML)
        return refusals[0]
    finally:
        client.disconnect()
        client.loop_stop()


def _certificate(broker: Broker, answer_s: float) -> Iterator[Check]:
    """The dates of a certificate that is accepted; one that is not, the connection's error has told of."""
    with suppress(OSError, ValueError):
        context = ssl.create_default_context(cafile=str(broker.tls_ca))
        with (
            socket.create_connection((broker.host, broker.port), answer_s) as plain,
            context.wrap_socket(plain, server_hostname=broker.host) as tls,
        ):
            until_s = ssl.cert_time_to_seconds(str((tls.getpeercert() or {})["notAfter"]))
        days = (until_s - time.time()) / 86400
        said = f"the broker's is valid for another {days:.0f} days, by this clock"
        soon = days < RENEW_DAYS
        way_out = "renew it at the broker before the devices lose it" if soon else ""
        yield Check("certificate", "warning" if soon else "ok", said, way_out)
