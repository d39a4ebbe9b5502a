"""Whether clock, disk, addresses and secrets of this device are as an agent needs them."""

import os
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from tidegate import RELEASED
from tidegate.cli.checks.check import Check
from tidegate.config import AgentConfig
from tidegate.footage import kept
from tidegate.footage.words import in_words
from tidegate.supervisor.status.socket import FILE_NAME as STATUS_SOCKET
from tidegate.supervisor.status.troubles import trouble_with_directory


def check_device(config: AgentConfig) -> Iterator[Check]:
    """Everything about the device itself; changes nothing."""
    yield check_clock(time.time())
    yield from check_disk(config)
    yield from check_listen(config)
    yield from check_secrets(config)
    yield from check_footage(config)


def check_clock(now: float) -> Check:
    """A clock before this release was made is wrong; `now` is Unix time in seconds."""
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    if now < RELEASED.timestamp():
        said = f"it shows {shown}, a time before this release was made: certificates look not valid yet"
        return Check("clock", "fault", said, "set it, or let it be set: timedatectl set-ntp true")
    return Check("clock", "ok", f"it shows {shown}")


def check_disk(config: AgentConfig) -> Iterator[Check]:
    """The state directory, and whether its disk has room for a full spool."""
    directory = config.state_dir
    if not directory.exists():
        parent = next((each for each in directory.parents if each.exists()), Path("/"))
        if os.access(parent, os.W_OK):
            yield Check("disk", "ok", f"{directory} will be made at the first start")
            return
        said = f"{directory} is not there and this user can't make it in {parent}"
        yield Check("disk", "fault", said, f"make it as root: install -d -o USER {directory}")
        return
    problem = trouble_with_directory(directory)
    if problem is not None:
        said, _, consequence = problem.partition("; ")
        yield Check("disk", "fault", said, consequence)
        return
    found = os.statvfs(directory)
    free_bytes, spool_bytes = found.f_bavail * found.f_frsize, int(config.spool.max_size)
    said = f"{directory} has {free_bytes >> 20} MiB free, a full spool takes {spool_bytes >> 20} MiB"
    short = free_bytes < spool_bytes
    way_out = "free some, or lower spool.max_size" if short else ""
    yield Check("disk", "warning" if short else "ok", said, way_out)


def check_footage(config: AgentConfig) -> Iterator[Check]:
    """Whether frames are kept, and that nobody else on this machine reads them."""
    directory, footage = config.state_dir / kept.DIRECTORY, config.footage
    if (trouble := kept.unreadable(directory)) is not None:
        if footage is not None:
            yield Check("footage", "warning", trouble, "run this as the agent's user, or as root")
        return
    found = kept.count(directory)
    if footage is None:
        if found.sampled or found.disagreements:
            said = f"{in_words(found)} are still in {directory}, and agent.yaml keeps none"
            yield Check("footage", "fault", said, "tidegate footage clear")
        else:
            yield Check("footage", "ok", "no frame is kept")
        return
    if directory.exists() and stat.S_IMODE(directory.stat().st_mode) & 0o077:
        said = f"{directory} may be read by others on this machine"
        yield Check("footage", "warning", said, f"chmod -R go= {directory}")
        return
    limits = f"at most {int(footage.max_size) >> 20} MiB, none older than {footage.max_age / 86400:g} d"
    yield Check("footage", "ok", f"{in_words(found)} kept; {limits}; never sent, for the agent's user alone")


def check_listen(config: AgentConfig) -> Iterator[Check]:
    """Whether the addresses are free, unless the agent itself runs."""
    runs = (config.state_dir / STATUS_SOCKET).exists()
    yield from _addresses("listen", config.listen.address, config.listen.tcp, config.listen.unix, runs=runs)
    web = config.web
    if web is not None and runs and web.tcp:
        yield Check("web", "ok", f"the status page is on http://{web.address}:{web.tcp}/")
    if web is not None:
        yield from _addresses("web", web.address, web.tcp, web.unix, runs=runs)


def _addresses(key: str, address: str, port: int | None, path: Path | None, *, runs: bool) -> Iterator[Check]:
    if port and not runs:
        try:
            family, *_, place = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(place)
            yield Check(key, "ok", f"port {port} is free")
        except OSError as error:
            said = f"{address}:{port}: {error.strerror}"
            yield Check(key, "fault", said, f"set another {key}.tcp, or end what listens there")
    if path is not None:
        parent = next((each for each in path.parents if each.exists()), Path("/"))
        if os.access(parent, os.W_OK | os.X_OK):
            yield Check(key, "ok", f"{path} can be made")
        else:
            said = f"{path}: this user may not write to {parent}"
            yield Check(key, "fault", said, f"run this as the agent's user, or set another {key}.unix")


def check_secrets(config: AgentConfig) -> Iterator[Check]:
    """Who may read the password, the tokens and the key."""
    password = None if config.broker is None else config.broker.password_file
    token = None if config.web is None else config.web.token_file
    tls = config.listen.tls
    for file in (password, token, config.listen.token_file, None if tls is None else tls.key):
        if file is None or not file.exists():
            continue
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            said = f"{file} may be read by others on this machine"
            yield Check("keys", "warning", said, f"chmod 600 {file}")
        else:
            yield Check("keys", "ok", f"{file} is its owner's alone")
