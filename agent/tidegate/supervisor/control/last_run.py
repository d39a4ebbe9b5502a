"""How the last run stood, on disk: where a restarted agent goes on, and how the run before it ended."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from tidegate.files import read_file, replace_file, set_aside
from tidegate.models.ladder import Ladder
from tidegate.policy.brown_out import Supply

FILE_NAME = "last_run.json"
SUPPLY_S = 60.0
"""How far what is written of the supply may lag while nothing else changes."""
STEP_PERCENT = 5.0
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class LastRun:
    """`point` is where it served last; `boot_id` names the boot of the system, None where it can't be told.

    `ended` once it has said goodbye: without one it was killed, or the whole device was. `supply` is as last seen,
    `bundle` the SHA-256 of the one whose point it is.
    """

    point: str
    boot_id: str | None = None
    ended: bool = False
    supply: Supply = field(default_factory=Supply)
    bundle: str | None = None


class End(StrEnum):
    """How a run came to its end, as far as the next one can tell."""

    GOODBYE = "goodbye"
    KILLED = "killed"
    DEVICE_LOST = "device_lost"
    UNKNOWN = "unknown"


def end_of(run: LastRun | None, boot_id: str | None) -> End:
    """Without a goodbye: in the same boot it was killed; in another one the device lost power, or hung."""
    if run is None:
        return End.UNKNOWN
    if run.ended:
        return End.GOODBYE
    if run.boot_id is None or boot_id is None:
        return End.UNKNOWN
    return End.KILLED if run.boot_id == boot_id else End.DEVICE_LOST


def point_of(run: LastRun | None, ladder: Ladder) -> str:
    """The point that served last, or the full one when there is none or the ladder has changed."""
    if run is not None:
        with suppress(KeyError):
            return ladder.points[ladder.rung(run.point)].name
    return ladder.full.name


@cache
def _last_run() -> TypeAdapter[LastRun]:
    return TypeAdapter(LastRun)


def read_last_run(state_dir: Path) -> tuple[LastRun | None, str]:
    """The last run, None before the first; and what is wrong with the file, which is put aside then."""
    path = state_dir / FILE_NAME
    try:
        return _last_run().validate_json(read_file(path, 65536)), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{path}: {error.strerror}; the agent starts at full"
    except ValidationError:
        try:
            kept = f"it is kept as {set_aside(path).name}"
        except OSError as error:
            kept = f"it can't be moved aside: {error.strerror}"
        return None, f"{path}: damaged; {kept}; the agent starts at full"


@cache
def boot_id() -> str | None:
    """Names this boot of the system; None where it can't be told."""
    with suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":
            asked = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
            told = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5).stdout
            return told.strip() or None
        return BOOT_ID.read_text().strip() or None
    return None


class RunRecord:
    """Keeps the file up to date; from any thread. A disk that refuses costs the record, never the service."""

    def __init__(
        self,
        state_dir: Path,
        boot: str | None,
        bundle: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = state_dir / FILE_NAME
        self._bundle = bundle
        self._clock = clock
        self._supply = Supply()
        self._supply_due = 0.0
        self._boot = boot
        self._lock = threading.Lock()
        self._point: str | None = None
        self._ended = False
        self._written: LastRun | None = None

    def at(self, point: str) -> None:
        """It serves at `point` from now on; on the disk at once, since the power may go because of it."""
        self._point = point
        self.write()

    def news(self, point: str, supply: Supply) -> bool:
        """Note the point and what is seen of the supply; whether that is worth a write. Waits for no disk."""
        now = self._clock()
        another = self._written is not None and self._written.bundle != self._bundle()
        moved = another or point != self._point or supply.external is not self._supply.external
        far = _rounded(supply) != _rounded(self._supply) and now >= self._supply_due
        if moved or far:
            self._point, self._supply, self._supply_due = point, supply, now + SUPPLY_S
        return moved or far

    def ended(self) -> None:
        """Nothing serves any more, and that was wanted."""
        self._ended = True
        self.write()

    def goes_on(self) -> None:
        """It has not ended after all: the system was only suspended."""
        self._ended = False
        self.write()

    def write(self) -> None:
        """Put on the disk what it does not say yet."""
        with self._lock:
            if self._point is None:
                return
            run = LastRun(self._point, self._boot, self._ended, self._supply, self._bundle())
            if run != self._written or (self._ended and not self._path.exists()):
                with suppress(OSError):
                    replace_file(self._path, json.dumps(asdict(run)) + "\n")
                    self._written = run


def _rounded(supply: Supply) -> tuple[int | None, bool | None, dict[str, float]]:
    """Coarse enough that a battery writes a few dozen times as it runs down."""
    percent = None if supply.percent is None else round(supply.percent / STEP_PERCENT)
    return percent, supply.external, {name: round(volts, 1) for name, volts in supply.volts.items()}
