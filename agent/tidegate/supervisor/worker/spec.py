"""How a worker is started: what its command line says."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tidegate.messages import ANYBODY, StreamBroker, StreamSpec, TcpAccess
from tidegate.models.ladder import Certificate
from tidegate.supervisor.worker.crash_reports import CrashReports


@dataclass(frozen=True, slots=True)
class FrigateSpec:
    """Where Frigate asks, how long it waits, and where models are kept that it hands over; None if it may not.

    `model` names the further model that answers, None the main one.
    """

    listening: socket.socket
    answer_within_s: float
    models: Path | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class FootageSpec:
    """Where frames are kept, how many bytes of them and for how long, and how long a clip is."""

    directory: Path
    max_bytes: int
    max_age_s: float
    clip_s: float


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """All about a worker but the operating point it starts at."""

    bundle: Path
    engine: str
    listening: tuple[socket.socket, ...]
    cache_dir: Path | None = None
    keep_bytes: int = 0
    spin: bool = False
    memory_limit_bytes: int | None = None
    log_file: IO[bytes] | None = None
    bundle_sha256: str | None = None
    """The bundle that may be served; None for whichever lies there."""
    certified_points: tuple[str, ...] = ()
    """From full to cheapest; the last one is where workers start that keep ending."""
    record: Path | None = None
    """Where to write down which process the worker is."""
    crash_reports: CrashReports | None = None
    frigate: FrigateSpec | None = None
    access: TcpAccess = ANYBODY
    """What is asked of those who connect over TCP."""
    streams: tuple[StreamSpec, ...] = ()
    stream_broker: StreamBroker | None = None
    footage: FootageSpec | None = None
    """None where no frames are kept."""
    certificates: Mapping[str, Certificate] | None = None
    """Of this place, in the place of the bundle's own, by point; None where those count."""

    @property
    def inherited(self) -> tuple[int, ...]:
        """The descriptors that the command line names, but those of the channel."""
        frigate = () if self.frigate is None else (self.frigate.listening.fileno(),)
        return (*(each.fileno() for each in self.listening), *frigate)

    def arguments(self, point: str, control_fd: int, crash_fd: int, certificates_fd: int | None) -> list[str]:
        """The worker's command line, to start at `point` and be told what to do over `control_fd`.

        `certificates_fd` holds the `certificates`, where there are any.
        """
        arguments = ["--bundle", str(self.bundle), "--point", point, "--engine", self.engine]
        if self.cache_dir is not None:
            arguments += ["--cache", str(self.cache_dir)]
        arguments += ["--keep-bytes", str(self.keep_bytes)]
        if self.spin:
            arguments += ["--spin"]
        if self.memory_limit_bytes is not None:
            arguments += ["--memory-limit", str(self.memory_limit_bytes)]
        if self.bundle_sha256 is not None:
            arguments += ["--bundle-sha256", self.bundle_sha256]
        arguments += ["--control-fd", str(control_fd), "--crash-fd", str(crash_fd)]
        if certificates_fd is not None:
            arguments += ["--certificates-fd", str(certificates_fd)]
        for listening in self.listening:
            arguments += ["--listen-fd", str(listening.fileno())]
        if self.frigate is not None:
            arguments += ["--frigate-fd", str(self.frigate.listening.fileno())]
            arguments += ["--frigate-within-s", str(self.frigate.answer_within_s)]
            if self.frigate.models is not None:
                arguments += ["--frigate-models", str(self.frigate.models)]
            if self.frigate.model is not None:
                arguments += ["--frigate-model", self.frigate.model]
        if self.footage is not None:
            arguments += ["--footage", str(self.footage.directory)]
            arguments += ["--footage-bytes", str(self.footage.max_bytes)]
            arguments += ["--footage-age-s", str(self.footage.max_age_s), "--clip-s", str(self.footage.clip_s)]
        return arguments
