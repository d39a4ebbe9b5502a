"""Brings a candidate into force, part by part, while requests are answered and rows wait in the spool."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from tidegate.config import AgentConfig, Stream, trusted_keys
from tidegate.footage.kept import DIRECTORY as FOOTAGE
from tidegate.messages import StreamBroker, StreamSpec
from tidegate.policy.board import Board
from tidegate.supervisor.broker_address import broker_address
from tidegate.supervisor.broker_link import BrokerLink
from tidegate.supervisor.control.drift_record import DriftRecord
from tidegate.supervisor.events.event import Event
from tidegate.supervisor.in_force import InForce
from tidegate.supervisor.own_certificate import CertifiedBundle, certificate_in_words, certified
from tidegate.supervisor.reload.candidate import Candidate
from tidegate.supervisor.updates.pushed_policy import Reader
from tidegate.supervisor.wiring.deciding import Deciding
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.supervisor.worker.process import WorkerProcess
from tidegate.supervisor.worker.spec import FootageSpec, WorkerSpec
from tidegate.telemetry.device import Device
from tidegate.telemetry.link.inbox import OnPolicy

_SETTINGS = (
    "telemetry",
    "inputs",
    "pushed_bundles",
    "allow_unsigned",
    "trusted_keys",
    "signature_thresholds",
)
DRAIN_S = 2.0
"""For what waits for the broker that is left; the rest goes to the next one."""


class Swap:
    """`in_force` is what runs; belongs to the event loop, one `bring` at a time."""

    def __init__(
        self,
        in_force: InForce,
        *,
        worker: WorkerProcess,
        deciding: Deciding,
        link: BrokerLink,
        receive: OnPolicy,
        board: Board | None,
        session: int,
        emit: Callable[[Event], None],
    ) -> None:
        self.in_force = in_force
        self._worker = worker
        self._deciding = deciding
        self._control = deciding.control
        self._updates = deciding.updates
        self._link = link
        self._receive = receive
        self.board = board
        self._session = session
        self._emit = emit

    async def bring(self, candidate: Candidate) -> tuple[str, ...]:
        """Bring it into force; says in words what has changed. Raises WorkerDown, and nothing has changed then."""
        before, after = self.in_force.config, candidate.config
        access = self._worker.spec.access
        # In a thread: it reads the certificate and the keys that are received.
        held = await asyncio.to_thread(certified, candidate.bundle, after)
        models, left_out = self._worker.board.models, self._worker.board.left_out
        changed = await self._models(candidate)
        try:
            changed += await self._worker_and_bundle(candidate, held)
        except WorkerDown:
            await self._worker.use_models(models, left_out)
            raise
        self.in_force = replace(self.in_force, config=after)
        changed += await self._policy(candidate)
        changed += await self._broker(before, candidate)
        self._deciding.inputs.max_age_s = after.inputs.max_age
        self._updates.allow_unsigned = after.allow_unsigned
        # In a thread: it may wait for the disk, and for keys that are received.
        await asyncio.to_thread(self._deciding.keys.use, trusted_keys(after))
        for key in _SETTINGS:
            if getattr(before, key) != getattr(after, key):
                changed += (key,)
        if candidate.access != access:
            changed += ("what listen.token_file and listen.tls hold",)
            await self._worker.retired()  # until then the former token and certificate would do
        return changed

    async def _models(self, candidate: Candidate) -> tuple[str, ...]:
        """Those that do not answer are tried again.

        Raises WorkerDown when a new one can't be loaded, and those before are in force then.
        """
        before, left_out = self._worker.board.models, self._worker.board.left_out
        if candidate.models == before and self._worker.board.trouble is None:
            return ()
        failed = await self._worker.use_models(candidate.models)
        known = {each.name: each for each in before}
        news = [each for each in candidate.models if known.get(each.name) != each]
        new = {each.name for each in news}
        if reasons := [f"model {name}: {reason}" for name, reason in failed.items() if name in new]:
            await self._worker.use_models(before, left_out)
            raise WorkerDown("; ".join(reasons))
        gone = [name for name in known if name not in {each.name for each in candidate.models}]
        told = [
            f"model {each.name} ({each.bundle.sha256[:12]}...)" for each in candidate.models if each.name in new
        ]
        return (*told, *(f"model {name} is served no more" for name in gone))

    async def _worker_and_bundle(self, candidate: Candidate, held: CertifiedBundle) -> tuple[str, ...]:
        bundle, old = held.bundle, self.in_force.bundle
        spec = replace(worker_spec(self._worker.spec, candidate.config, held), access=candidate.access)
        if spec == self._worker.spec:
            # The same bounds, perhaps counted anew or elsewhere.
            async with self._control.paused():
                return self._certificates(held)
        names = {point.name for point in bundle.ladder.points}
        point = self._worker.point if self._worker.point in names else bundle.ladder.full.name
        ready = await self._worker.prepare(spec, point)
        async with self._control.paused():
            await self._worker.take_over(ready)
            if bundle.sha256 != old.sha256:
                self.in_force.drift.save()
                directory = self.in_force.config.state_dir
                drift = candidate.drift or DriftRecord(directory, held.identity, bundle.ladder, self._emit)
                drift.save()
                self.in_force = InForce(candidate.config, bundle, drift, held)
                self._control.take_ladder(bundle.ladder, drift)
                return (f"bundle {bundle.model} ({bundle.sha256[:12]}...)",)
            if told := self._certificates(held):
                return told
        return (f"worker on {self._worker.engine}",)

    def _certificates(self, held: CertifiedBundle) -> tuple[str, ...]:
        """Go by these certificates of the bundle that is served; call it while the control is paused."""
        before = self.in_force.certified
        if before is None or held.identity == before.identity:
            self.in_force = replace(self.in_force, bundle=held.bundle, certified=held)
            return ()
        # What was seen under other certificates is no evidence against these.
        self.in_force.drift.save()
        drift = DriftRecord(self.in_force.config.state_dir, held.identity, held.bundle.ladder, self._emit)
        drift.save()
        self.in_force = replace(self.in_force, bundle=held.bundle, drift=drift, certified=held)
        self._control.take_certificates(held.bundle.ladder, drift)
        return (f"certificate {certificate_in_words(held)}",)

    async def _policy(self, candidate: Candidate) -> tuple[str, ...]:
        before, read_before = self._updates.state.running, self._updates.local
        reader = Reader(candidate.local, self.board, lambda: self._control.runnable)
        local = candidate.policy
        running = await self._updates.take_local(local, reader)
        if (running.digest, running.origin) != (before.digest, before.origin):
            return (f"policy {running.policy.name} version {running.policy.version} ({running.origin})",)
        if running.origin == "pushed" and local.digest != read_before.digest:
            kept = f"the pushed one, {running.policy.name} version {running.policy.version}, stays in force"
            return (f"policy {local.policy.name} version {local.policy.version} is read, {kept}",)
        return ()

    async def _broker(self, before: AgentConfig, candidate: Candidate) -> tuple[str, ...]:
        broker, groups = candidate.broker, candidate.config.groups
        told: tuple[str, ...] = () if broker == self._link.broker else (f"broker {broker or 'none'}",)
        told += () if groups == before.groups else ("groups",)
        if not told:
            return ()
        await asyncio.to_thread(self._link.stop, DRAIN_S)
        device = Device(candidate.config.device, groups, self._session)
        self._link.use(broker, device, self._receive, self._deciding.inputs.receive)
        self._link.start()
        return told


def worker_spec(built: WorkerSpec, config: AgentConfig, held: CertifiedBundle) -> WorkerSpec:
    """How a worker of this configuration is started; sockets and the like are those of `built`."""
    limit, bundle = config.worker.memory_limit, held.bundle
    return replace(
        built,
        bundle=bundle.path,
        engine=config.worker.engine,
        keep_bytes=int(config.worker.keep_resident),
        spin=config.worker.spin,
        memory_limit_bytes=None if limit is None else int(limit),
        bundle_sha256=bundle.sha256,
        streams=tuple(_stream_spec(each) for each in config.streams),
        stream_broker=_stream_broker(config),
        footage=_footage_spec(config),
        certificates=held.certificates,
        certified_points=tuple(point.name for point in bundle.ladder.points if point.certificate is not None),
    )


def _footage_spec(config: AgentConfig) -> FootageSpec | None:
    footage = config.footage
    if footage is None:
        return None
    return FootageSpec(config.state_dir / FOOTAGE, int(footage.max_size), footage.max_age, footage.clip)


def _stream_broker(config: AgentConfig) -> StreamBroker | None:
    """Only where a stream asks for it: a worker needs no passwords."""
    broker = broker_address(config.broker)
    if broker is None or not any(each.source.mqtt or each.to.mqtt for each in config.streams):
        return None
    ca = None if broker.tls_ca is None else str(broker.tls_ca)
    return StreamBroker(broker.host, broker.port, broker.username, broker.password, ca)


def _stream_spec(stream: Stream) -> StreamSpec:
    source = stream.source
    return StreamSpec(
        stream.name,
        to_lines=None if stream.to.lines is None else str(stream.to.lines),
        to_topic=stream.to.mqtt,
        folder=None if source.folder is None else str(source.folder),
        camera=source.camera,
        lines=None if source.lines is None else str(source.lines),
        topic=source.mqtt,
        frames_per_second=stream.frames_per_second,
        motion=stream.motion,
        queue=stream.queue,
        all_outputs=stream.to.outputs == "all",
        model=stream.model,
    )
