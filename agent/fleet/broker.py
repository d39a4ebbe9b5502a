"""A real mosquitto of one's own, on the loopback interface, for the demo, the benchmarks and the tests."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from agent.telemetry.broker import Broker

# Where packages put daemons that a user's PATH often leaves out.
_DAEMON_DIRECTORIES = (Path("/usr/sbin"), Path("/usr/local/sbin"), Path("/opt/homebrew/sbin"))
_START_S = 10.0
_STOP_S = 5.0


class LocalBrokerError(Exception):
    """mosquitto is missing or did not come up; the message says what to do or what it said."""


def find_mosquitto() -> Path | None:
    """The mosquitto program, None if it is not installed."""
    found = shutil.which("mosquitto")
    if found is not None:
        return Path(found)
    return next((path for folder in _DAEMON_DIRECTORIES if (path := folder / "mosquitto").is_file()), None)


class LocalBroker:
    """mosquitto on 127.0.0.1 and one port for life, so that `restart` is the same broker to its clients.

    State is kept in `directory`, a temporary one by default. `settings` are further lines of mosquitto.conf.
    Use as a context manager, or call `start` and `stop`. Raises LocalBrokerError.
    """

    def __init__(self, directory: Path | None = None, settings: tuple[str, ...] = ()) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="tidegate-broker-") if directory is None else None
        self._directory = Path(self._temporary.name) if self._temporary is not None else Path(directory or ".")
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self._directory / "mosquitto.log"
        self.port = _free_port()

    @property
    def address(self) -> Broker:
        """How clients reach it."""
        return Broker("127.0.0.1", self.port)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The running mosquitto. Raises LocalBrokerError when it does not run."""
        if self._process is None:
            msg = "the broker is not running; call start()"
            raise LocalBrokerError(msg)
        return self._process

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        program = find_mosquitto()
        if program is None:
            msg = "mosquitto was not found on PATH or in /usr/sbin; install it with your system's packages"
            raise LocalBrokerError(msg)
        self._directory.mkdir(parents=True, exist_ok=True)
        config = self._directory / "mosquitto.conf"
        config.write_text("\n".join(self._config()) + "\n", encoding="utf-8")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
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

    def _config(self) -> tuple[str, ...]:
        return (
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {self._directory}/",
            # By default mosquitto saves twice an hour, and a kill loses what lies between.
            "autosave_on_changes true",
            "autosave_interval 1",
            *_stay_root(),
            *self._settings,
        )

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
        msg = f"mosquitto did not accept connections on port {self.port}; it said:\n{tail}"
        raise LocalBrokerError(msg)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _stay_root() -> tuple[str, ...]:
    # Started by root, mosquitto becomes the user `mosquitto`, who cannot write into our directory.
    return ("user root",) if os.geteuid() == 0 else ()
