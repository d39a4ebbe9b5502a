"""`tidegate policy trusted`: which pushed policies this device takes, and how its owner opens it again."""

import os
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tidegate.cli.console import fail, out
from tidegate.cli.json_option import JsonOption, write_json
from tidegate.cli.running_agent import ConfigOption, send_command
from tidegate.config import DEFAULT_CONFIG, AgentConfig, load_config
from tidegate.errors import EX_DATAERR, EX_UNAVAILABLE
from tidegate.policy.store import PolicyStore, StoreError, WrongStateError
from tidegate.supervisor.events.event import Event, EventKind
from tidegate.supervisor.sockets.commands import BelieveClock, Done, SetTrusted, ShowTrust, Trust
from tidegate.supervisor.state_directory import InUseError, held
from tidegate.supervisor.updates.latest_time import LatestTime
from tidegate.telemetry.spool import Spool
from tidegate.telemetry.topics import DeviceTopics


def trusted_command(
    config: ConfigOption = DEFAULT_CONFIG,
    set_version: Annotated[
        int | None, typer.Option("--set", min=0, help="Take pushes above this version from now on.")
    ] = None,
    believe_clock: Annotated[
        bool, typer.Option("--believe-clock", help="Judge expiry by the clock as it is now.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show or set the version that pushed policies must be above, whether or not the agent runs.

    The accepted policy stays in force. What is set here is told as an event.
    """
    if set_version is not None and believe_clock:
        raise typer.BadParameter("--set and --believe-clock can't be combined; give one, then the other")
    command = (
        SetTrusted(set_version) if set_version is not None else BelieveClock() if believe_clock else ShowTrust()
    )
    done = _show_or_set(load_config(config), command)
    if done.refused or done.trust is None:
        fail(done.refused or "no answer; the agent's log says more", EX_DATAERR)
    trust = done.trust
    if as_json:
        write_json(asdict(trust))
        return
    out.say(f"pushed policies are taken above version {trust.version}")
    if trust.running:
        out.say(f"in force: {trust.running}")
    out.say(f"expiry is judged by {trust.latest_time}, the clock says {trust.clock}")
    if trust.problem:
        out.say(trust.problem)


def _show_or_set(config: AgentConfig, command: ShowTrust | SetTrusted | BelieveClock) -> Done:
    state_dir = config.state_dir
    try:
        if not state_dir.is_dir():
            fail(f"{state_dir}: no such directory; no agent has run here yet", EX_UNAVAILABLE)
        with held(state_dir):
            return _without_agent(config, command)
    except OSError as error:
        fail(f"{state_dir}: {error.strerror}; run as the agent's user", EX_UNAVAILABLE)
    except InUseError:
        pass  # an agent runs
    return send_command(state_dir, command)


def _without_agent(config: AgentConfig, command: ShowTrust | SetTrusted | BelieveClock) -> Done:
    """Do it on the files of an agent that does not run."""
    store, latest_time = PolicyStore(config.state_dir), LatestTime(config.state_dir)
    before, accepted = store.trusted_version, store.accepted
    # Opening the store may have put it right; whoever opens it next will find nothing to tell.
    if store.recovered is not None:
        _spool_event(
            config, f"pushed policy version {store.recovered.version} rolled back: {store.recovered.reason}"
        )
    if store.damage:
        _spool_event(config, f"the accepted policy is lost: {store.damage}")
    try:
        match command:
            case SetTrusted(version=version):
                store.set_trusted(version)
                _spool_event(config, f"the trusted version was set by hand from {before} to {version}")
            case BelieveClock():
                latest_time.believe_clock()
                _spool_event(
                    config, f"expiry is judged by the clock again, set by hand: {datetime.now(UTC).isoformat()}"
                )
            case ShowTrust():
                pass
    except (StoreError, WrongStateError, OSError) as error:
        return Done(refused=str(error))
    finally:
        _chown_to_agent(config.state_dir)
    running = "" if accepted is None else f"version {accepted.version}, when the agent starts"
    now, clock = latest_time.now().isoformat(timespec="seconds"), latest_time.clock().isoformat(timespec="seconds")
    problem = "; ".join(filter(None, (store.damage, latest_time.problem)))
    return Done(trust=Trust(store.trusted_version, running, now, clock, problem))


def _chown_to_agent(state_dir: Path) -> None:
    """What root has made in the directory of an agent of another user becomes that user's."""
    owner = state_dir.stat()
    for path in state_dir.iterdir():
        with suppress(OSError):
            if path.lstat().st_uid != owner.st_uid and os.geteuid() == 0:
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _spool_event(config: AgentConfig, text: str) -> None:
    """Spool the event; the agent's next run publishes it."""
    spool = Spool(config.state_dir / "spool.db", int(config.spool.max_size), config.spool.max_age)
    spool.put(DeviceTopics(config.device).event, Event(EventKind.POLICY, text).document(), time.time())
    spool.close()
