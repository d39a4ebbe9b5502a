"""Everything that helps to understand a device from afar, as texts by the name of their file."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from tidegate import __version__
from tidegate.cli.checks.all import check_all
from tidegate.config import AgentConfig
from tidegate.errors import TidegateError
from tidegate.supervisor.status.socket import FILE_NAME, fetch_status
from tidegate.supervisor.status.status import to_json
from tidegate.supervisor.worker.crash_reports import DIRECTORY as CRASHES
from tidegate.supervisor.worker.crash_reports import CrashReports
from tidegate_drivers.catalog import discover
from tidegate_drivers.survey import read_all_once

UNIT = "tidegate"
JOURNAL_LINES = 2000
LOG_BYTES = 256 << 10


def gather(path: Path, config: AgentConfig | None) -> Iterator[tuple[str, str]]:
    """File names and texts, secrets included: mask them. What can't be had is a text that says why."""
    yield "versions.json", json.dumps(_versions(), indent=2)
    yield "environment.txt", "".join(f"{name}={value}\n" for name, value in sorted(os.environ.items()))
    yield "agent.yaml", _text(path)
    yield "checks.json", json.dumps([asdict(check) for check in check_all(path)], indent=2)
    yield "sensors.json", json.dumps([asdict(each) for each in read_all_once(discover(Path("/")))], default=str)
    yield from log_of_the_service()
    if config is None:
        return
    yield "policy.yaml", _text(config.policy)
    yield "status.json", _status(config.state_dir)
    yield "state-directory.txt", "".join(_listing(config.state_dir))
    for report in CrashReports(config.state_dir / CRASHES).paths():
        yield f"{CRASHES}/{report.name}", _text(report)


def _versions() -> Mapping[str, object]:
    packages = sorted(f"{each.name} {each.version}" for each in metadata.distributions())
    uname = platform.uname()
    return {
        "tidegate": __version__,
        "python": sys.version,
        "executable": sys.executable,
        "system": f"{uname.system} {uname.release} {uname.version} {uname.machine}",
        "packages": packages,
    }


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(LOG_BYTES).decode(errors="replace")
    except OSError as error:
        return f"{path}: {error.strerror}\n"


def _status(state_dir: Path) -> str:
    import asyncio  # noqa: PLC0415 - only where an agent is asked

    try:
        return to_json(asyncio.run(fetch_status(state_dir / FILE_NAME)))
    except TidegateError as error:
        return json.dumps({"unasked": str(error)})


def _listing(directory: Path) -> Iterator[str]:
    with suppress(OSError):
        for file in sorted(directory.rglob("*")):
            found = file.lstat()
            yield f"{found.st_size:>12} {oct(found.st_mode)} {file.relative_to(directory)}\n"


def log_of_the_service() -> Iterator[tuple[str, str]]:
    """What the service said: launchd writes files, with systemd it stands in the journal."""
    if platform.system() != "Darwin":
        yield "journal.txt", _journal()
        return
    for whose, directory in (("log", Path("/Library/Logs")), ("user-log", Path.home() / "Library/Logs")):
        for file in sorted((directory / UNIT).glob("agent.log*")):
            yield f"{whose}/{file.name}", _end(file)


def _end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES))
            return file.read(LOG_BYTES).decode(errors="replace")
    except OSError as error:
        return f"{path}: {error.strerror}\n"


def _journal() -> str:
    """Of the machine's service and of this user's own."""
    units = ("--unit", UNIT, "--user-unit", UNIT)
    command = ["journalctl", *units, "--lines", str(JOURNAL_LINES), "--no-pager", "--output", "short-iso"]
    try:
        told = subprocess.run(command, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the journal can't be had: {error}\n"
    return (told.stdout[-LOG_BYTES:] or told.stderr).decode(errors="replace")
