"""What this machine is and what lies on it: asked before a plan is made, and nothing is changed."""

import fcntl
import os
import platform
import re
import shutil
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tidegate.service import systemd
from tidegate.service.devices import devices
from tidegate.service.errors import ServiceError
from tidegate.service.places import Places, ServiceManager, system_places, user_places
from tidegate.service.plan import COMPLETE, Found
from tidegate.service.steps import run

ROOM_BYTES = 400 << 20
"""A version takes 250 MB, and its packages come as 60 MB beside it."""
OLDEST = (3, 11)
OLDEST_MACOS = 14
OLDEST_PIP = (22, 3)
NOT_ROOT = "a service of the whole machine is root's: sudo ./install.sh VERB ..., or for you alone: --user"


def service_manager() -> ServiceManager:
    """Which one this operating system has."""
    return "launchd" if platform.system() == "Darwin" else "systemd"


def places(*, user: bool) -> Places:
    """Where the service lives on this machine."""
    manager = service_manager()
    return user_places(manager, Path.home(), os.environ, os.getuid()) if user else system_places(manager)


def base_python() -> str:
    """The interpreter that runs this, outside any virtual environment."""
    named = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(named) if named.exists() else os.path.realpath(sys.executable)


def has_pip(python: str) -> bool:
    """Whether it has a pip that installs into another environment (`--python`, since 22.3)."""
    said, code = run((python, "-P", "-m", "pip", "--version"), 60.0)
    version = re.match(r"pip (\d+)\.(\d+)", said)
    return code == 0 and version is not None and (int(version[1]), int(version[2])) >= OLDEST_PIP


def device_name() -> str:
    """The host's name as an MQTT topic level."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", socket.gethostname()).strip("-._")[:64]
    return name or "device"


def has_battery(sysroot: Path = Path("/")) -> bool:
    """Whether a supply of type Battery is there."""
    types = (sysroot / "sys/class/power_supply").glob("*/type")
    return any(each.read_text(errors="replace").strip() == "Battery" for each in types)


def obstacles(where: Places, python: str) -> Iterator[str]:
    """Each reason why the service can't be installed here, with the way out."""
    if not where.user and os.geteuid() != 0:
        yield NOT_ROOT
    if where.manager == "systemd":
        yield from _systemd_obstacles(where)
    else:
        yield from _mac_obstacles()
    if sys.version_info < OLDEST:
        yield f"{python} is Python {platform.python_version()}; 3.11 or newer is needed: --python PATH"
    base = Path(python).resolve()
    if not where.user and any(base.is_relative_to(home) for home in ("/home", "/root", "/run/user")):
        yield (
            f"{base} lies under a home directory, which the service's sandbox hides; name a Python of the system, "
            "before the verb: ./install.sh --python /usr/bin/python3 service ..."
        )
    free = shutil.disk_usage(_existing(where.prefix)).free
    if free < ROOM_BYTES:
        yield f"{where.prefix}: {free >> 20} MB are free on its disk, {ROOM_BYTES >> 20} are needed; make room"


def _mac_obstacles() -> Iterator[str]:
    if platform.machine() != "arm64":
        yield (
            "this Mac has an Intel processor, or this Python is one for it (Rosetta): ONNX Runtime is built for"
            " neither any longer; on Apple Silicon name a native Python: ./install.sh --python PATH service ..."
        )
    release = platform.mac_ver()[0]
    major = release.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST_MACOS:
        yield f"this is macOS {release}; ONNX Runtime is built for macOS {OLDEST_MACOS} or newer: update macOS"


def _systemd_obstacles(where: Places) -> Iterator[str]:
    if not systemd.BOOTED.is_dir():
        yield (
            "systemd does not run this machine (a container, or WSL without systemd=true in /etc/wsl.conf); "
            "to run the agent without a service: ./install.sh run -- run --config agent.yaml"
        )
    elif where.user:
        runtime = Path(f"/run/user/{os.getuid()}")
        if "XDG_RUNTIME_DIR" not in os.environ and runtime.is_dir():
            os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        if run(systemd.systemctl(where, "show-environment"), systemd.ASK_S)[1] != 0:
            yield (
                "your user has no systemd of its own running; log in directly or by ssh, not by su or sudo, "
                "and to have it run without a login: sudo loginctl enable-linger"
            )


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def found(where: Places, release_name: str | None) -> Found:
    """What is installed already; `whole` is of the named release."""
    version = None if release_name is None else where.versions / release_name
    return Found(
        whole=version is not None and is_whole(version),
        current=_link(where.current),
        before_trial=_before_trial(where),
        has_config=where.config.exists(),
        has_policy=where.policy.exists(),
        has_bundle=where.bundle.exists(),
        has_password=where.password.exists(),
        devices=devices(),
        versions=tuple(f"versions/{each.name}" for each in sorted(where.versions.glob("*"))),
    )


def is_whole(version: Path) -> bool:
    """Whether an environment was made to its end and its interpreter is still there."""
    python = version / "bin/python"
    return (version / COMPLETE).exists() and python.exists() and run((str(python), "-c", ""), 60.0)[1] == 0


def _link(path: Path) -> str | None:
    return str(path.readlink()) if path.is_symlink() else None


def _before_trial(where: Places) -> str | None:
    try:
        name = where.trial.read_text().strip()
    except OSError:
        return None
    return name if (where.prefix / name / COMPLETE).exists() else None


@contextmanager
def held(where: Places) -> Iterator[None]:
    """Hold the place against a second installation. Raises ServiceError."""
    where.prefix.parent.mkdir(parents=True, exist_ok=True)
    lock = where.prefix.parent / f".{where.prefix.name}.lock"
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ServiceError(f"{where.prefix}: another installation is at work; wait for it") from None
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def check(where: Places, python: str) -> None:
    """Raises ServiceError with every obstacle."""
    named: Sequence[str] = list(obstacles(where, python))
    if named:
        raise ServiceError("\n  ".join(named))


def need_root(where: Places) -> None:
    """Raises ServiceError where the service belongs to root and we don't."""
    if not where.user and os.geteuid() != 0:
        raise ServiceError(NOT_ROOT)
