"""Whether the service that runs here is fit to stay: asked for the canaries' answers and watched for a while.

Run as `python -m tidegate.service.trial` by the version that is judged: it has numpy and the bundle's reader. The
last line is one JSON object; exit code 0 for fit, 1 with a sentence on stderr for unfit.
"""

import argparse
import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tidegate.config import AgentConfig, Listen, load_config
from tidegate.demo.client import UnixConnection
from tidegate.errors import TidegateError
from tidegate.listening.token_file import read_token
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.evidence import Canaries

PAUSE_S = 1.0
TIMEOUT_S = 30.0


class UnfitError(TidegateError):
    """The service is not fit to stay; the message says why."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen: canaries asked and all answered right, and the most memory of agent and worker."""

    version: str
    point: str
    canaries: int
    rounds: int
    memory_bytes: int | None


def watch(path: Path, seconds: float, memory_limit_bytes: int | None) -> Outcome:
    """Ask and look once a second, for `seconds`, once at least. Raises UnfitError, DocumentError, BundleError."""
    config = load_config(path)
    first = _status(path)
    bundle = open_bundle(Path(first["bundle"]["path"]))  # agent.yaml's or a pushed one
    canaries = bundle.canaries()
    until = time.monotonic() + seconds
    most: int | None = None
    rounds = 0
    while True:
        point = _ask(config, bundle, canaries)
        now = _status(path)
        if now["uptime_s"] < first["uptime_s"]:
            raise UnfitError("the agent started anew while it was watched")
        if now["worker"]["restarts"] > first["worker"]["restarts"]:
            raise UnfitError(f"the worker ended while it was watched: {_last_reason(now)}")
        held = _memory(now["worker"]["pid"])
        if held is not None:
            most = max(most or 0, held)
            if memory_limit_bytes is not None and held > memory_limit_bytes:
                raise UnfitError(f"agent and worker hold {held >> 20} MiB, allowed are {memory_limit_bytes >> 20}")
        rounds += 1
        if time.monotonic() >= until:
            return Outcome(str(now["version"]), point, len(canaries.inputs), rounds, most)
        time.sleep(PAUSE_S)


def _ask(config: AgentConfig, bundle: Bundle, canaries: Canaries) -> str:
    """Ask for every canary; the point that answered last. Raises UnfitError for a wrong answer or none."""
    connection, headers = endpoint_connection(config.listen)
    point = ""
    for index, values in enumerate(canaries.inputs):
        tensor = {
            "name": bundle.input.name,
            "shape": [1, *values.shape],
            "datatype": "FP32",
            "data": values.ravel().tolist(),
        }
        try:
            connection.request(
                "POST", f"/v2/models/{bundle.model}/infer", json.dumps({"inputs": [tensor]}), headers
            )
            response = connection.getresponse()
            reply = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise UnfitError(f"canary {index} got no answer: {error}") from None
        if response.status != http.client.OK:
            raise UnfitError(f"canary {index} was answered with {response.status}: {reply}")
        point = reply["parameters"]["operating_point"]
        found = np.asarray(reply["outputs"][0]["data"], np.float32)
        if not canaries.is_answered(point, index, found):
            raise UnfitError(f"canary {index} was answered otherwise at {point} than at calibration")
    connection.close()
    return point


def endpoint_connection(listen: Listen) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    """To the endpoint, with what its requests need. Raises UnfitError, TokenError, DocumentError, TlsError."""
    if listen.unix is not None:
        return UnixConnection(str(listen.unix), TIMEOUT_S), {}
    headers = {} if listen.token_file is None else {"Authorization": f"Bearer {read_token(listen.token_file)}"}
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.address, listen.address)  # noqa: S104 - asked, not bound
    if listen.tls is None:
        return http.client.HTTPConnection(host, listen.tcp, timeout=TIMEOUT_S), headers
    connection = http.client.HTTPSConnection(host, listen.tcp, timeout=TIMEOUT_S, context=_any_name())
    try:
        connection.connect()
    except OSError as error:
        raise UnfitError(f"{host}:{listen.tcp}: no TLS: {error}") from None
    # The certificate is for the name under which others know this device, so it is told by itself.
    presented = connection.sock.getpeercert(binary_form=True)
    if presented != ssl.PEM_cert_to_DER_cert(_first_certificate(listen.tls.certificate)):
        raise UnfitError(f"{host}:{listen.tcp}: it shows another certificate than {listen.tls.certificate}")
    return connection, headers


def _any_name() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _first_certificate(file: Path) -> str:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return f"{begin}{file.read_text().partition(begin)[2].partition(end)[0]}{end}\n"


def _memory(worker_pid: int | None) -> int | None:
    """Resident bytes of the worker and the agent that started it; None where they can't be seen."""
    try:
        worker = psutil.Process(worker_pid) if worker_pid is not None else None
        agent = worker.parent() if worker is not None else None
        if worker is None or agent is None:
            return None
        return int(worker.memory_info().rss + agent.memory_info().rss)
    except psutil.Error:
        return None


def _status(config: Path) -> Any:
    """What `tidegate status --json` says. Raises UnfitError when nobody answers."""
    asked = [sys.executable, "-P", "-m", "tidegate", "status", "--json", "--config", str(config)]
    done = subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise UnfitError(f"no status: {done.stderr.strip()}")
    return json.loads(done.stdout)


def _last_reason(status: Any) -> str:
    texts = [event.get("text") for event in status["recent"] if event.get("kind") == "worker"]
    return str(texts[-1]) if texts else "its reason is in the log"


def main(arguments: Sequence[str]) -> int:
    """Entry point; see the module's first lines."""
    parser = argparse.ArgumentParser(prog="python -m tidegate.service.trial", description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--memory-limit", type=int, default=None, metavar="BYTES")
    asked = parser.parse_args(arguments)
    try:
        outcome = watch(asked.config, asked.seconds, asked.memory_limit)
    except TidegateError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
