"""An upgrade that failed its trial, told by the version that runs again: once as an event, and in each report."""

import sys
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from tidegate.files import read_file, replace_file
from tidegate.last_trial import LastTrial, as_json, read_last_trial
from tidegate.supervisor.events.event import Event, EventKind

FILE_NAME = "told_upgrade"


def failed_upgrade(environment: Path = Path(sys.prefix)) -> LastTrial | None:
    """The last trial, if it failed and this is not the version that did; None outside of an installed service."""
    if environment.parent.name != "versions":
        return None
    trial = read_last_trial(environment.parents[1])
    if trial is None or trial.accepted or Path(trial.version).name == environment.name:
        return None
    return trial


def tell_once(trial: LastTrial, state_dir: Path, emit: Callable[[Event], None]) -> None:
    """Emit the event, unless an earlier start has; where that can't be written down, each start does."""
    told = sha256(as_json(trial).encode()).hexdigest()
    with suppress(OSError):
        if read_file(state_dir / FILE_NAME, 1024).decode(errors="replace").strip() == told:
            return
    text = f"the upgrade to {trial.version} failed and was taken back: {trial.reason}"
    details: dict[str, object] = {
        "version": trial.version,
        "failed_at": trial.at,
        "reason": trial.reason,
        "last_words": list(trial.last_words),
    }
    emit(Event(EventKind.UPGRADE, text, details))
    with suppress(OSError):
        replace_file(state_dir / FILE_NAME, f"{told}\n")
