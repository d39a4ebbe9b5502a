"""What is asked of launchd, and the job's property list, by launchd.plist(5); not run on hardware yet."""

import os
import plistlib
import time
from contextlib import suppress
from dataclasses import dataclass

from tidegate.service.errors import ServiceError
from tidegate.service.places import LABEL, Places
from tidegate.service.steps import Command, Step, failure, run

ACCOUNT = "_tidegate"
ACCOUNT_UID = 472
"""Role accounts have 450 to 499."""

ASK_S = 30.0
EXIT_TIMEOUT_S = 35
"""Between SIGTERM and SIGKILL: answers 5 s, goodbye to the broker 5 s, the worker's end 6 s, and as much again."""
DRAIN_S = EXIT_TIMEOUT_S + 10.0
RETRY_S = 30.0
READY_S = 180.0
PAUSE_S = 0.5
LAST_BYTES = 16 << 10
LOG_BYTES = 4 << 20
"""Of agent.log; as much again lies beside it."""
FINAL_EXIT_CODES = "64 65 78"
"""As in the unit's RestartPreventExitStatus=: wrong usage, refused data, a bad configuration."""
TRANSIENT = {5, 37}
"""bootstrap's codes while launchd still drains the last job: input/output error, operation already in progress."""


def property_list(places: Places) -> str:
    """The job as XML."""
    job: dict[str, object] = {
        "Label": LABEL,
        "ProgramArguments": [str(places.current / "bin/tidegate"), "run", "--config", str(places.config)],
        "RunAtLoad": True,
        # launchd can't tell exit codes apart, so the agent ends well where a start would end the same way.
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 30,
        "ExitTimeOut": EXIT_TIMEOUT_S,
        # Without it CPU and I/O are throttled; Background would confine it to the efficiency cores.
        "ProcessType": "Interactive",
        "Umask": 0o077,
        "EnvironmentVariables": {
            "ORT_DISABLE_TELEMETRY": "1",
            "CACHE_DIRECTORY": str(places.cache_dir),
            # launchd lets it grow for ever, and newsyslog can't have it opened anew: the agent cuts it itself.
            "TIDEGATE_LOG_LIMIT": str(LOG_BYTES),
            "TIDEGATE_FINAL_EXIT_CODES": FINAL_EXIT_CODES,
        },
        "WorkingDirectory": "/",
    }
    if places.log_dir is not None:
        job["StandardOutPath"] = job["StandardErrorPath"] = str(places.log_dir / "agent.log")
    if not places.user:
        job |= {"UserName": ACCOUNT, "GroupName": "staff"}
    return plistlib.dumps(job, sort_keys=False).decode()


def domain(places: Places) -> str:
    """Where the job lives."""
    return f"gui/{os.getuid()}" if places.user else "system"


@dataclass(frozen=True, slots=True)
class BootedOut:
    """launchd no longer knows the job. `bootout` only asks for that: the job may take ExitTimeOut to end."""

    target: str

    def __str__(self) -> str:
        return f"run launchctl bootout {self.target}, and wait until launchd has forgotten it"

    def execute(self) -> None:
        """Ask and wait. Raises ServiceError when it is still there after all that time."""
        run(("launchctl", "bootout", self.target), ASK_S)
        until = time.monotonic() + DRAIN_S
        while run(("launchctl", "print", self.target), ASK_S)[1] == 0:
            if time.monotonic() > until:
                raise ServiceError(
                    f"{self.target} is still there {DRAIN_S:g} s after bootout; launchctl print tells why"
                )
            time.sleep(PAUSE_S)


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """launchd runs the job of this property list."""

    domain: str
    path: str

    def __str__(self) -> str:
        return f"run launchctl bootstrap {self.domain} {self.path}, again while launchd is busy with the last one"

    def execute(self) -> None:
        """Load it. Raises ServiceError with what launchctl said last."""
        command = ("launchctl", "bootstrap", self.domain, self.path)
        until = time.monotonic() + RETRY_S
        said, code = run(command, ASK_S)
        while code in TRANSIENT and time.monotonic() < until:
            time.sleep(PAUSE_S)
            said, code = run(command, ASK_S)
        if code != 0:
            raise ServiceError(failure(command, code, said))


@dataclass(frozen=True, slots=True)
class Ready:
    """The agent tells its status: launchd has no READY of its own."""

    status: tuple[str, ...]

    def __str__(self) -> str:
        return f"wait until `{' '.join(self.status)}` answers"

    def execute(self) -> None:
        """Ask twice a second. Raises ServiceError with what was said last."""
        until = time.monotonic() + READY_S
        said, code = run(self.status, ASK_S)
        while code != 0:
            if time.monotonic() > until:
                raise ServiceError(f"not ready after {READY_S:g} s: {said.strip()}")
            time.sleep(PAUSE_S)
            said, code = run(self.status, ASK_S)


def last_lines(places: Places) -> str:
    """The end of the job's log; empty where it has none."""
    if places.log_dir is None:
        return ""
    with suppress(OSError), (places.log_dir / "agent.log").open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_BYTES))
        return log.read(LAST_BYTES).decode(errors="replace")
    return ""


def account() -> list[Step]:
    """The role account of the daemon; it is left as it is where it is there."""
    add = ("sysadminctl", "-addUser", ACCOUNT, "-UID", str(ACCOUNT_UID), "-roleAccount")
    return [Command(add, ASK_S, may_fail=True)]


def owned(places: Places) -> list[Step]:
    """The daemon's directories are its own; every user of a Mac is in `staff` and may ask at the socket."""
    if places.user:
        return []
    own = [str(path) for path in (places.state_dir, places.cache_dir, places.log_dir) if path is not None]
    return [
        Command(("chown", "-R", f"{ACCOUNT}:staff", *own, str(places.runtime_dir)), ASK_S),
        Command(("chmod", "750", str(places.runtime_dir), str(places.state_dir)), ASK_S),
    ]


def start(places: Places) -> list[Step]:
    """Loaded anew: `kickstart` would not read the property list again."""
    where = domain(places)
    status = (str(places.current / "bin/tidegate"), "status", "--json", "--config", str(places.config))
    return [
        *owned(places),
        BootedOut(f"{where}/{LABEL}"),
        Bootstrapped(where, str(places.unit)),
        Command(("launchctl", "enable", f"{where}/{LABEL}"), ASK_S),
        Ready(status),
    ]


def stop(places: Places) -> list[Step]:
    """Forgotten by launchd."""
    return [BootedOut(f"{domain(places)}/{LABEL}")]


def forget_account() -> list[Step]:
    """No role account of ours is left."""
    return [Command(("sysadminctl", "-deleteUser", ACCOUNT), ASK_S, may_fail=True)]
