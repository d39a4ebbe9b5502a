"""How the system is told to suspend until a moment: by systemd, by macOS's pmset, or by a power board's hook."""

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime

from tidegate.errors import EX_UNAVAILABLE, TidegateError

SYSTEMD, PMSET = "systemd", "pmset"
LONGEST_S = 20.0
"""For one command; a system that suspends stops this clock."""


class SuspendError(TidegateError):
    """The system was not suspended; the message says by which command and why."""

    exit_code = EX_UNAVAILABLE


def commands(by: str, until: datetime) -> tuple[tuple[str, ...], ...]:
    """The command lines, in their order; `by` is SYSTEMD, PMSET or the path of a hook.

    systemd.timer(5): WakeSystem= has the RTC wake the machine. pmset(1) takes the time of day as the Mac shows it.
    A hook gets the Unix time in seconds, as its one argument.
    """
    seconds = int(until.timestamp())
    if by == SYSTEMD:
        # A name of its own for each: one that is left of a sleep that ended early is in nobody's way.
        timer = ("systemd-run", "--collect", f"--unit=tidegate-wake-{seconds}")
        when = f"--on-calendar={until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        wakes = ("--timer-property=WakeSystem=yes", "--timer-property=AccuracySec=1s")
        return (*timer, when, *wakes, "/bin/true"), ("systemctl", "suspend")
    if by == PMSET:
        return ("pmset", "schedule", "wake", f"{until.astimezone():%m/%d/%y %H:%M:%S}"), ("pmset", "sleepnow")
    return ((by, str(seconds)),)


def suspend(lines: Sequence[Sequence[str]]) -> None:
    """Run them one after the other. Raises SuspendError at the first that fails."""
    for line in lines:
        try:
            done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=LONGEST_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SuspendError(f"{line[0]}: {error}") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip()[-300:] or "it said nothing"
            raise SuspendError(f"{' '.join(line)} ended with {done.returncode}: {said}")
