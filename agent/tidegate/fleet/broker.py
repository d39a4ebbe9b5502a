"""A real broker of one's own, on the loopback interface, for the demo, the benchmarks and the tests.

It is mosquitto, or the one that the package iotcore brings: rumqttd, which keeps sessions in memory only.
"""

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tidegate import child
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.telemetry.broker import Broker

# Where packages put daemons that a user's PATH often leaves out.
_DAEMON_DIRECTORIES = (Path("/usr/sbin"), Path("/usr/local/sbin"), Path("/opt/homebrew/sbin"))
_START_S = 10.0
_STOP_S = 5.0


class LocalBrokerError(TidegateError):
    """The broker is missing or did not come up; the message says what to do or what it said."""

    exit_code = EX_UNAVAILABLE


def find_mosquitto() -> Path | None:
    """The mosquitto program, None if it is not installed."""
    found = shutil.which("mosquitto")
    if found is not None:
        return Path(found)
    return next((path for folder in _DAEMON_DIRECTORIES if (path := folder / "mosquitto").is_file()), None)


def find_embedded() -> bool:
    """Whether iotcore is installed."""
    return importlib.util.find_spec("iotcore") is not None


def how_to_get_mosquitto() -> str:
    """The command that installs mosquitto on this system."""
    if platform.system() == "Darwin":
        return "brew install mosquitto"
    installers = {
        "apt-get": "sudo apt install mosquitto",
        "dnf": "sudo dnf install mosquitto",
        "zypper": "sudo zypper install mosquitto",
        "pacman": "sudo pacman -S mosquitto",
        "apk": "sudo apk add mosquitto",
    }
    here = (told for program, told in installers.items() if shutil.which(program) is not None)
    return next(here, "install mosquitto with your system's packages")


Program = Callable[[Path, int, Sequence[str]], Sequence[str | Path]]
"""Writes a broker's configuration into a directory and returns its command line; takes the port and settings."""


def mosquitto(directory: Path, port: int, settings: Sequence[str]) -> Sequence[str | Path]:
    """mosquitto; `settings` are further lines of mosquitto.conf. Raises LocalBrokerError when it is missing."""
    program = find_mosquitto()
    if program is None:
        raise LocalBrokerError(
            f"mosquitto was not found on PATH or in /usr/sbin; to install it: {how_to_get_mosquitto()}"
        )
    config = directory / "mosquitto.conf"
    lines = (
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {directory}/",
        # By default mosquitto saves twice an hour, and a kill loses what lies between.
        "autosave_on_changes true",
        "autosave_interval 1",
        *_as_root(),
        *settings,
    )
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return program, "-c", config


def embedded(directory: Path, port: int, settings: Sequence[str]) -> Sequence[str | Path]:
    """iotcore's; `settings` are further lines of its first table. Raises LocalBrokerError when it is missing."""
    if not find_embedded():
        raise LocalBrokerError("the package iotcore is not installed; pip install iotcore")
    config = directory / "rumqttd.toml"
    lines = (
        "id = 0",
        *settings,
        "[router]",
        "id = 0",
        "max_connections = 100",
        "max_outgoing_packet_count = 200",
        "max_segment_size = 16777216",
        "max_segment_count = 10",
        "[v5.1]",  # the table of MQTT 5 listeners; a [v4] one would not understand our clients
        'name = "v5"',
        f'listen = "127.0.0.1:{port}"',
        "next_connection_delay_ms = 1",
        "[v5.1.connections]",
        "connection_timeout_ms = 10000",
        "max_payload_size = 1048576",
        "max_inflight_count = 100",
        "dynamic_filters = true",
    )
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return child.command("tidegate.fleet.embedded_broker", str(config))


class LocalBroker:
    """A broker on 127.0.0.1 and one port for life, so that `restart` is the same broker to its clients.

    State is kept in `directory`, a temporary one by default. What `settings` are, `program` says.
    Use as a context manager, or call `start` and `stop`. Raises LocalBrokerError.
    """

    def __init__(
        self, directory: Path | None = None, settings: tuple[str, ...] = (), program: Program = mosquitto
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="tidegate-broker-") if directory is None else None
        self._directory = Path(self._temporary.name) if self._temporary is not None else Path(directory or ".")
        self._settings = settings
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self._directory / "broker.log"
        self.port = _free_port()

    @property
    def address(self) -> Broker:
        """How clients reach it."""
        return Broker("127.0.0.1", self.port)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running broker. Raises LocalBrokerError when it does not run."""
        if self._process is None:
            msg = "the broker is not running; call start()"
            raise LocalBrokerError(msg)
        return self._process

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self._directory.mkdir(parents=True, exist_ok=True)
        command = self._program(self._directory, self.port, self._settings)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child.environment(),
                start_new_session=True,  # Ctrl-C is for whoever started it, who may still have to say goodbye
            )
        self._wait_until_it_accepts(self._process)

    def stop(self) -> None:
        """End it in order (its state is saved) and remove a temporary directory."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None
        if self._temporary is not None:
            self._temporary.cleanup()

    def kill(self) -> None:
        """SIGKILL: what the broker has not saved is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Kill it if it runs, and start it again on the same port with what it had saved."""
        self.kill()
        self.start()

    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_it_accepts(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.kill()
        tail = "\n".join(self.log().splitlines()[-10:])
        msg = f"the broker did not accept connections on port {self.port}; it said:\n{tail}"
        raise LocalBrokerError(msg)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _as_root() -> tuple[str, ...]:
    # Started by root, mosquitto becomes the user `mosquitto`, who cannot write into our directory.
    return ("user root",) if os.geteuid() == 0 else ()
