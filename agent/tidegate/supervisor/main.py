"""Opens everything an agent needs, one clear error each, then runs the supervisor until it is told to stop."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from tidegate.config import AgentConfig, Frigate, board_profile
from tidegate.documents import parse, read
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.listening.loopback import is_loopback
from tidegate.models.errors import BundleError
from tidegate.policy.store import PolicyStore
from tidegate.supervisor import state_directory
from tidegate.supervisor.app import Supervisor
from tidegate.supervisor.broker_address import broker_address
from tidegate.supervisor.bundles.first_bundle import first_bundle
from tidegate.supervisor.bundles.slot_store import SlotStore
from tidegate.supervisor.control.brown_outs import BrownOutRecord, guard_at_start
from tidegate.supervisor.control.last_run import boot_id, read_last_run
from tidegate.supervisor.endpoint_access import exposure, tcp_access
from tidegate.supervisor.events.journal import Observer
from tidegate.supervisor.frigate_package import lacking_for_frigate
from tidegate.supervisor.models.further_model import open_those_that_open
from tidegate.supervisor.opened import Opened
from tidegate.supervisor.own_certificate import certified
from tidegate.supervisor.sockets.listeners import Listeners, open_listeners
from tidegate.supervisor.state_directory import damaged_numbers, session_number
from tidegate.supervisor.state_schema.bring import UnstatedSchema, bring_to_schema
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.supervisor.updates.pushed_policy import Reader, first_policy
from tidegate.supervisor.worker.orphan import FILE_NAME as WORKER_RECORD
from tidegate.supervisor.worker.orphan import end_orphan
from tidegate.telemetry.spool import Spool
from tidegate_drivers import replay
from tidegate_drivers.catalog import discover
from tidegate_drivers.controls.controls import Controls
from tidegate_drivers.sampler import Sampler
from tidegate_drivers.sensor import Discovery
from tidegate_drivers.trace import ReplayTrace, TraceError

log = logging.getLogger(__name__)


class StartError(TidegateError):
    """The agent can't start; the message says where, what was found and what to do."""

    exit_code = EX_UNAVAILABLE


async def run_agent(
    config: AgentConfig,
    *,
    observers: Sequence[Observer] = (),
    worker_log: IO[bytes] | None = None,
    sysroot: Path = Path("/"),
    reread: Callable[[], AgentConfig] | None = None,
    now_and_then: Callable[[], None] = lambda: None,
    started: Callable[[Supervisor, asyncio.Event], None] = lambda _supervisor, _stop: None,
) -> None:
    """Run an agent until SIGTERM or SIGINT, or until the event handed to `started` is set.

    It starts over, policy and all, when another bundle lies where the one was that it can serve no longer, and
    calls `started` again. On SIGHUP it brings into force what `reread` gives. `now_and_then` is called every few
    seconds. `sysroot` holds a tree of sys/ and proc/ to read and set in place of this machine's.
    Raises TidegateError before anything serves.
    """
    stop = asyncio.Event()
    superseded = True
    while superseded and not stop.is_set():
        with ExitStack() as held:
            supervisor = _open(config, held, observers, worker_log, sysroot, reread, now_and_then)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop.set)
            loop.add_signal_handler(signal.SIGHUP, supervisor.reload.ask)
            started(supervisor, stop)
            superseded = await supervisor.run(stop)
            config = supervisor.in_force.config


def _open(
    config: AgentConfig,
    held: ExitStack,
    observers: Sequence[Observer],
    worker_log: IO[bytes] | None,
    sysroot: Path,
    reread: Callable[[], AgentConfig] | None,
    now_and_then: Callable[[], None],
) -> Supervisor:
    try:
        held.enter_context(state_directory.held(config.state_dir))
        brought = bring_to_schema(config.state_dir)
        state_faults = [*brought.faults, *damaged_numbers(config.state_dir)]
        last_run, damage = read_last_run(config.state_dir)
        brown_outs = BrownOutRecord(config.state_dir)
        state_faults += [fault for fault in (damage, brown_outs.damage) if fault]
        end_orphan(config.state_dir / WORKER_RECORD)
        slots = SlotStore(config.state_dir)
        found = first_bundle(slots, config.bundle)
        held_here = certified(found.bundle, config)
        bundle = held_here.bundle
        models, left_out = open_those_that_open(config, bundle.model)
        profile = board_profile(config)
        board = None if profile is None else profile.board
        local = parse(read(config.policy), str(config.policy))
        latest_time = LatestTime(config.state_dir)
        store = PolicyStore(config.state_dir)
        access = tcp_access(config.listen)
        listeners = open_listeners(config.listen.unix, config.listen.tcp, config.listen.address)
        held.callback(listeners.close)
        if warning := exposure(config.listen):
            log.warning("listen: %s", warning)
        frigate = _frigate_listeners(config.frigate, held)
        spool = Spool(config.state_dir / "spool.db", int(config.spool.max_size), config.spool.max_age)
        held.callback(spool.close)
        opened = Opened(
            first_bundle=found,
            certified=held_here,
            slots=slots,
            profile=profile,
            local=local,
            first=first_policy(store, Reader(local, board, lambda: bundle.ladder)),
            store=store,
            latest_time=latest_time,
            sampler=Sampler(_discoveries(config, sysroot)),
            controls=Controls(config.state_dir / "controls.json", config.controls, sysroot),
            spool=spool,
            listeners=listeners,
            access=access,
            frigate=frigate,
            broker=broker_address(config.broker),
            session=session_number(config.state_dir / "session"),
            last_run=last_run,
            state_faults=tuple(state_faults),
            schema=UnstatedSchema(config.state_dir, brought.unstated),
            guard=guard_at_start(brown_outs, bundle.sha256, last_run, boot_id()),
            brown_outs=brown_outs,
            models=models,
            left_out=left_out,
        )
        return Supervisor(
            config,
            opened,
            reread=reread,
            now_and_then=now_and_then,
            observers=observers,
            worker_log=worker_log,
        )
    except (BundleError, TraceError) as error:
        # Not data that is wrong for good: a disk that is mounted later may bring the right one.
        raise StartError(str(error)) from error
    except OSError as error:
        raise StartError(f"{error.filename or 'this machine'}: {error.strerror or error}") from error


def _frigate_listeners(asked: Frigate | None, held: ExitStack) -> Listeners | None:
    if asked is None:
        return None
    if (reason := lacking_for_frigate()) is not None:
        raise StartError(f"frigate: {reason}")
    opened = open_listeners(asked.unix, asked.tcp, asked.address, "frigate")
    held.callback(opened.close)
    if not is_loopback(asked.address):
        log.warning(
            "frigate: whoever reaches %s port %s may ask for boxes%s; let a firewall know",
            asked.address,
            opened.tcp_port,
            " and set the model" if asked.hand_over else "",
        )
    return opened


def _discoveries(config: AgentConfig, sysroot: Path) -> tuple[Discovery, ...]:
    """Where readings come from, in order of preference."""
    found = discover(sysroot, meter=config.meter)
    if config.replay is None:
        return found
    played = replay.discover(ReplayTrace.load(config.replay.trace), config.replay.span, loop=True)
    return (*found, played) if config.replay.fill_missing else (played, *found)
