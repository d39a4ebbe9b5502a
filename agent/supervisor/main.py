"""Opens everything an agent needs, one clear error each, then runs the supervisor until it is told to stop."""

import asyncio
import fcntl
import os
import signal
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from agent import config as configuration
from agent.boards import Profile
from agent.config import AgentConfig, board_profile
from agent.documents import Document, parse, read
from agent.models.bundle import open_bundle
from agent.models.errors import BundleError
from agent.policy.schema import load_layers, load_policy
from agent.policy.store import PolicyStore, StoreError, digest_of
from agent.supervisor.journal import Observer
from agent.supervisor.listeners import ListenerError, open_listeners
from agent.supervisor.pushes import Running
from agent.supervisor.service import Supervisor
from agent.telemetry.broker import Broker
from agent.telemetry.session import next_session
from agent.telemetry.spool import Spool
from drivers import replay
from drivers.catalog import discover_all
from drivers.controls.controls import Controls
from drivers.sampler import Sampler
from drivers.sensor import Discovery
from drivers.trace import ReplayTrace, TraceError


class StartError(Exception):
    """The agent can't start; the message says where, what was found and what to do."""


async def run_agent(
    config: AgentConfig,
    *,
    observers: Sequence[Observer] = (),
    worker_log: IO[bytes] | None = None,
    sysroot: Path = Path("/"),
    started: Callable[[Supervisor, asyncio.Event], None] = lambda _supervisor, _stop: None,
) -> None:
    """Run an agent until SIGTERM or SIGINT, or until the event handed to `started` is set.

    `sysroot` holds a tree of sys/ and proc/ to read and set in place of this machine's.
    Raises StartError or DocumentError before anything serves.
    """
    stop = asyncio.Event()
    with ExitStack() as held:
        supervisor = _open(config, held, observers, worker_log, sysroot)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        started(supervisor, stop)
        await supervisor.run(stop)


def _open(
    config: AgentConfig,
    held: ExitStack,
    observers: Sequence[Observer],
    worker_log: IO[bytes] | None,
    sysroot: Path,
) -> Supervisor:
    try:
        config.state_dir.mkdir(parents=True, exist_ok=True)
        held.enter_context(_only_one(config.state_dir))
        bundle = open_bundle(config.bundle)
        profile = board_profile(config)
        local = parse(read(config.policy), str(config.policy))
        store = PolicyStore(config.state_dir)
        listeners = open_listeners(config.listen.unix, config.listen.tcp)
        held.callback(listeners.close)
        spool = Spool(config.state_dir / "spool.db", int(config.spool.max_size), config.spool.max_age)
        held.callback(spool.close)
        return Supervisor(
            config,
            bundle=bundle,
            running=_running(store, profile, local),
            profile=profile,
            below=(local,),
            store=store,
            sampler=Sampler(_discoveries(config, sysroot)),
            controls=Controls(config.state_dir / "controls.json", config.controls, sysroot),
            spool=spool,
            listeners=listeners,
            broker=broker_address(config.broker),
            session=next_session(config.state_dir / "session"),
            observers=observers,
            worker_log=worker_log,
        )
    except (BundleError, StoreError, ListenerError, TraceError) as error:
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(
            f"{error.filename or config.state_dir}: {error.strerror}; set another state_dir"
        ) from error


@contextmanager
def _only_one(state_dir: Path) -> Iterator[None]:
    """Hold the state directory: two agents on one spool and one policy store would undo each other's work."""
    descriptor = os.open(state_dir / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StartError(
            f"{state_dir}: another agent is using it; stop that one or set another state_dir"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


def _running(store: PolicyStore, profile: Profile | None, local: Document) -> Running:
    """The policy to start with: the accepted pushed one unless the local file has a higher version."""
    board = None if profile is None else profile.board
    own = load_layers(local, board).policy
    accepted = store.accepted
    if accepted is None or accepted.version < own.version:
        return Running(own, digest_of(local.text), "local")
    pushed = load_policy(accepted.text, f"accepted policy version {accepted.version}", board, (local,))
    return Running(pushed, accepted.digest, "pushed")


def _discoveries(config: AgentConfig, sysroot: Path) -> tuple[Discovery, ...]:
    """Where readings come from, in order of preference."""
    found = discover_all(sysroot, meter=config.meter)
    if config.replay is None:
        return found
    played = replay.discover(ReplayTrace.load(config.replay.trace), config.replay.span, loop=True)
    return (*found, played) if config.replay.fill_missing else (played, *found)


def broker_address(broker: configuration.Broker | None) -> Broker | None:
    """The configured broker with its password read. Raises DocumentError or StartError."""
    if broker is None:
        return None
    password = None
    if broker.password_file is not None:
        password = read(broker.password_file).strip()
    authorities = None
    if broker.tls is not None:
        authorities = broker.tls.ca or _system_authorities()
    return Broker(broker.host, broker.port, broker.username, password, authorities)


def _system_authorities() -> Path:
    file = ssl.get_default_verify_paths().cafile
    if file is None:
        raise StartError("broker.tls: this system has no file of certificate authorities; name one with `ca`")
    return Path(file)
