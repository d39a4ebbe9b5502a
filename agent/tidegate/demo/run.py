"""The demo from start to end: broker, agent, a client, a policy push, and an honest account of what happened."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from tidegate import child
from tidegate import config as configuration
from tidegate.config import AgentConfig
from tidegate.engines.runtime.installed import UnknownEngine, check_installed, installed_engines
from tidegate.errors import EX_UNAVAILABLE, TidegateError
from tidegate.fleet.broker import (
    LocalBroker,
    LocalBrokerError,
    embedded,
    find_embedded,
    find_mosquitto,
    how_to_get_mosquitto,
    mosquitto,
)
from tidegate.fleet.listener import BrokerError
from tidegate.fleet.watch import Watch
from tidegate.paths import profiles_directory
from tidegate.supervisor.app import Supervisor
from tidegate.supervisor.broker_address import broker_address
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.main import run_agent
from tidegate.supervisor.status.status import Status
from tidegate.telemetry.broker import Broker
from tidegate.telemetry.spool import Spool, SpoolCounters

REQUESTS_PER_SECOND = 25.0
DAY_S = 60.0
"""A day is played in this long, or in the time the demo is given."""
LATE_PUSH_S = 20.0
"""For which a run goes on where its push has no verdict yet, on a machine that is slow or busy."""
PUSH_AFTER_SHARE = 0.3
PUSHED_POLICY = Path("policies/demo-careful.yaml")
LOAD_ENDS_S = 40.0
WITNESS_S = 5.0


EngineName = Literal["auto", "onnx", "litert", "eager"]


class DemoError(TidegateError):
    """A part of the demo besides the agent broke; the message says which."""

    exit_code = EX_UNAVAILABLE


class View(Protocol):
    """Where the demo shows what happens: a full-screen view, or lines of JSON."""

    interval_s: float

    def status(self, status: Status) -> None:
        """Show the agent's status; called every `interval_s`."""

    def event(self, event: Event) -> None:
        """Show an event; called when it occurs."""

    def note(self, text: str) -> None:
        """Show a remark about the whole run, such as a missing broker."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run came to; counts are of the client and of an independent subscriber where there is one.

    `telemetry_lost` is rows that left the spool (acknowledged or dropped) and that the independent subscriber
    never saw; without a broker, the dropped ones. None stands for what could not be counted.
    """

    seconds: float
    broker: str | None
    requests_served: int
    requests_failed: int
    requests_retried: int
    accuracy: float | None
    switches: int
    points_visited: tuple[str, ...]
    worker_restarts: int
    policy_pushes_applied: int
    telemetry_spooled: int | None
    telemetry_published: int | None
    telemetry_waiting: int | None
    telemetry_lost: int | None
    replayed: tuple[str, ...]


class Demo:
    """One run in a directory of its own, which may be removed afterwards."""

    def __init__(
        self,
        config: AgentConfig,
        directory: Path,
        *,
        seconds: float | None,
        replay_all: bool,
        broker: configuration.Broker | None,
        engine: EngineName | None = None,
        view: View,
    ) -> None:
        self._directory = directory
        self._seconds = seconds
        self._broker = broker
        self._engine = engine
        self._view = view
        self._end = asyncio.Event()
        self._visited: list[str] = []
        self._base = config
        self._replay_all = replay_all

    async def run(self) -> Summary:
        """Run until the time is up or a signal comes. Raises StartError, DocumentError or DemoError."""
        async with AsyncExitStack() as closing:
            config = self._config(self._open_broker(closing))
            broker = broker_address(config.broker)
            witness = None if broker is None else self._open_witness(broker, config.device, closing)
            supervisor, stop, agent = await self._start_agent(config, closing)
            started = time.monotonic()
            load = await self._start_load(config, supervisor)
            company = [asyncio.create_task(self._watch(supervisor))]
            pushed = None
            if config.broker is not None:
                pushed = asyncio.create_task(self._push(config.broker, config.device))
                company.append(pushed)
            ends = (agent, asyncio.create_task(self._end.wait()))
            done, _ = await asyncio.wait(ends, timeout=self._seconds, return_when="FIRST_COMPLETED")
            if pushed is not None and not done:
                await asyncio.wait((*ends, pushed), timeout=LATE_PUSH_S, return_when="FIRST_COMPLETED")
            seconds = time.monotonic() - started
            served = await _finish_load(load)
            for task in company:
                task.cancel()
            await asyncio.gather(*company, return_exceptions=True)
            last = supervisor.status()
            stop.set()
            await agent
            account = _spool_account(config)
            return Summary(
                seconds=round(seconds, 1),
                broker=None if broker is None else str(broker),
                requests_served=served["served"],
                requests_failed=served["failed"],
                requests_retried=served["retried"],
                accuracy=served["accuracy"],
                switches=last.switches,
                points_visited=tuple(self._visited),
                worker_restarts=last.worker.restarts,
                policy_pushes_applied=last.policy_pushes_applied,
                telemetry_spooled=None if account is None else account.counters.put,
                telemetry_published=None if account is None else account.counters.acknowledged,
                telemetry_waiting=None if account is None else account.counters.waiting,
                telemetry_lost=await asyncio.to_thread(_lost, account, witness),
                replayed=tuple(n for n, r in last.readings.items() if r.source.startswith("replay/")),
            )

    def _open_broker(self, closing: AsyncExitStack) -> configuration.Broker | None:
        """The broker that was named, else one of our own, else the profile's; None leaves the spool alone."""
        if self._broker is not None:
            return self._broker
        for program, is_here in ((mosquitto, find_mosquitto() is not None), (embedded, find_embedded())):
            if not is_here:
                continue
            local = LocalBroker(self._directory / program.__name__, program=program)
            try:
                local.start()
            except LocalBrokerError as error:
                self._view.note(f"{program.__name__}: {error}")
                continue
            closing.callback(local.stop)
            return configuration.Broker(host=local.address.host, port=local.address.port)
        if self._base.broker is None:
            self._view.note(
                "no MQTT broker here, so no policy is pushed and telemetry stays in the spool; "
                f"to see both: {how_to_get_mosquitto()}, or pip install iotcore"
            )
        return self._base.broker

    def _open_witness(self, broker: Broker, device: str, closing: AsyncExitStack) -> Watch:
        try:
            return closing.enter_context(Watch(broker, device))
        except BrokerError as error:
            raise DemoError(str(error)) from error

    def _config(self, broker: configuration.Broker | None) -> AgentConfig:
        base = self._base
        replay = base.replay
        if replay is not None:
            span = self._seconds or DAY_S
            replay = replay.model_copy(update={"span": span, "fill_missing": not self._replay_all})
        return base.model_copy(
            update={
                "state_dir": self._directory / "state",
                "listen": configuration.Listen.model_construct(unix=self._directory / "tidegate.sock", tcp=0),
                "broker": broker,
                "replay": replay,
                "worker": configuration.Worker(engine=_engine(self._engine)),
            }
        )

    async def _start_agent(
        self, config: AgentConfig, closing: AsyncExitStack
    ) -> tuple[Supervisor, asyncio.Event, "asyncio.Task[None]"]:
        up: asyncio.Future[tuple[Supervisor, asyncio.Event]] = asyncio.get_running_loop().create_future()
        worker_log = closing.enter_context((self._directory / "worker.log").open("wb"))

        def started(supervisor: Supervisor, stop: asyncio.Event) -> None:
            # The client is to stop asking before the agent stops answering, so signals are ours first.
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, self._end.set)
            if not up.done():
                up.set_result((supervisor, stop))

        agent = asyncio.create_task(
            run_agent(config, observers=[self._observe], worker_log=worker_log, started=started)
        )
        agent.add_done_callback(lambda _ended: None if up.done() else up.cancel())
        await asyncio.wait([up])
        if up.cancelled():
            agent.result()
            raise DemoError("the agent ended before it served")
        supervisor, stop = up.result()
        ready = asyncio.create_task(supervisor.wait_ready())
        await asyncio.wait([agent, ready], return_when="FIRST_COMPLETED")
        self._visited.append(supervisor.status().point)
        return supervisor, stop, agent

    def _observe(self, event: Event) -> None:
        if event.kind == "switch" and (point := str(event.details["to"])) not in self._visited:
            self._visited.append(point)
        self._view.event(event)

    async def _watch(self, supervisor: Supervisor) -> None:
        while True:
            self._view.status(supervisor.status())
            await asyncio.sleep(self._view.interval_s)

    async def _start_load(self, config: AgentConfig, supervisor: Supervisor) -> asyncio.subprocess.Process:
        arguments = ["--bundle", str(config.bundle), "--rate", str(REQUESTS_PER_SECOND)]
        arguments += [
            "--unix",
            str(supervisor.listeners.unix_path),
            "--tcp-port",
            str(supervisor.listeners.tcp_port),
        ]
        return await asyncio.create_subprocess_exec(
            *child.command("tidegate.demo.client", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=child.environment(),
            start_new_session=True,  # Ctrl-C is for the demo, which then tells the client
        )

    async def _push(self, broker: configuration.Broker, device: str) -> None:
        """What an operator does: `tidegate policy push`, as a command of its own."""
        await asyncio.sleep((self._seconds or DAY_S) * PUSH_AFTER_SHARE)
        command = ["policy", "push", str(profiles_directory() / PUSHED_POLICY), "--device", device]
        operator = await asyncio.create_subprocess_exec(
            *child.command("tidegate.cli.main", *command, *_address_options(broker)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=child.environment(TERM="dumb"),
        )
        try:
            said, _ = await operator.communicate()
        except asyncio.CancelledError:
            # The demo ends first. A transport that is left to the garbage collector writes a traceback.
            with suppress(ProcessLookupError):
                operator.kill()
            await operator.communicate()
            raise
        self._view.note(f"$ tidegate {' '.join(command[:2])} {PUSHED_POLICY.name}: {said.decode().strip()}")


def _address_options(broker: configuration.Broker) -> Iterator[str]:
    """How `tidegate policy push` is told of the broker."""
    host = f"[{broker.host}]" if ":" in broker.host else broker.host
    yield from ("--broker", f"{host}:{broker.port}")
    if broker.username is not None:
        yield from ("--username", broker.username)
    if broker.password_file is not None:
        yield from ("--password-file", str(broker.password_file))
    if broker.tls is not None and broker.tls.ca is not None:
        yield from ("--ca", str(broker.tls.ca))


async def _finish_load(load: asyncio.subprocess.Process) -> dict[str, Any]:
    with suppress(ProcessLookupError):
        load.terminate()
    try:
        async with asyncio.timeout(LOAD_ENDS_S):
            said, _ = await load.communicate()
    except TimeoutError:
        load.kill()
        raise DemoError("the client did not end; its counts are lost") from None
    if load.returncode == -signal.SIGTERM:
        # It catches the signal before its first request, so that it has asked nothing yet.
        return {"served": 0, "failed": 0, "retried": 0, "accuracy": None}
    try:
        summary: dict[str, Any] = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        raise DemoError(f"the client ended with code {load.returncode} and without its counts") from None
    return summary


@dataclass(frozen=True, slots=True)
class SpoolAccount:
    """The totals that the agent left on disk, and which rows still wait there."""

    counters: SpoolCounters
    waiting: frozenset[int]


def _spool_account(config: AgentConfig) -> SpoolAccount | None:
    spool = Spool(config.state_dir / "spool.db", int(config.spool.max_size), config.spool.max_age)
    try:
        counters = spool.counters
        if counters is None:
            return None
        return SpoolAccount(counters, frozenset(row.seq for row in spool.after(0, counters.waiting)))
    finally:
        spool.close()


def _lost(account: SpoolAccount | None, witness: Watch | None) -> int | None:
    """Rows that are neither in the spool nor with the witness; None when the spool can't be read."""
    if account is None:
        return None
    if witness is None:
        return sum(account.counters.dropped.values())
    left_the_spool = set(range(1, account.counters.put + 1)) - account.waiting
    witness.wait_for(left_the_spool, WITNESS_S)
    return len(witness.lost(left_the_spool))


def _engine(named: EngineName | None) -> EngineName:
    """The one that was named, else the one that is by far the fastest on a net as small as the demo's.

    Measuring that, as `auto` does, takes seconds. Raises DemoError for one that can't be had.
    """
    try:
        if named is None:
            return "onnx" if "onnx" in installed_engines() else "auto"
        check_installed(named)
    except UnknownEngine as error:
        raise DemoError(str(error)) from None
    return named
