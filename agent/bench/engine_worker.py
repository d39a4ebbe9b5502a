"""ResNet-18 in real worker processes: what they hold in memory, and what going down and up a ladder takes."""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil

from agent.bench.engine_peers import open_engine
from agent.bench.engine_store import inputs_for, open_network
from agent.bench.figures import Cell, Goal
from agent.bench.steady_client import SteadyClient
from agent.engines.catalog import installed_engines
from agent.engines.engine import Engine
from agent.messages import Switched
from agent.models.bundle import open_bundle
from agent.models.bundle_file import InputSpec, Provenance
from agent.models.bundle_writer import Contents, weights_file, write_bundle
from agent.models.evidence import Canaries, Samples
from agent.models.graph_file import graphs_sha256
from agent.models.ladder import Comparison, Figures, Ladder, OperatingPoint, Precision
from agent.models.ladder_file import Calibration
from agent.models.network import TrainedNetwork
from agent.supervisor.keeper import WorkerDown, WorkerKeeper, WorkerSpec
from agent.supervisor.listeners import open_listeners

RSS_GOALS_MIB = {"onnx": 90, "packed": 320}
KEEP_ALL = 2**40

Progress = Callable[[str], None]

_UNMEASURED = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)


@dataclass(frozen=True, slots=True)
class Extent:
    """How often up and down, and how long to wait after a switch before memory is read; requests go on."""

    round_trips: int
    settle_s: float


FULL = Extent(6, 1.5)
QUICK = Extent(1, 0.8)


@dataclass(frozen=True, slots=True)
class Held:
    """One engine's worker; None where it went down, with the reason in `lost`.

    Resident MiB at int8 before anybody asks; then, asked all the time with JSON, at int8, at full, at int8 again.
    The longest pause of a switch, and the time until a kept variant may answer, which its canaries take. p99 of
    requests that meet a switch over that of others at the same point.
    """

    engine: str
    idle_mib: float | None = None
    small_mib: float | None = None
    full_mib: float | None = None
    again_mib: float | None = None
    pause_ms: float | None = None
    kept_prepare_ms: float | None = None
    p99_ratio: float | None = None
    asked: int | None = None
    failed: int | None = None
    lost: str = ""

    @property
    def left_mib(self) -> float | None:
        """What stays behind after full and back."""
        return None if self.again_mib is None or self.small_mib is None else self.again_mib - self.small_mib


def measure_workers(kept_network: Path, progress: Progress, *, quick: bool) -> tuple[Held, ...]:
    """A worker per installed engine; one that goes down is told and loses its own row."""
    network = open_network(kept_network)
    held = []
    for engine in installed_engines():
        if engine not in RSS_GOALS_MIB:
            continue
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
            bundle = Path(directory) / "bundle"
            _write(bundle, network, open_engine(engine, kept_network, network))
            try:
                held.append(asyncio.run(_measured(bundle, engine, Path(directory), QUICK if quick else FULL)))
            except WorkerDown as error:
                progress(f"{engine} worker: {error}; its row is lost")
                held.append(Held(engine, lost=str(error)))
    return tuple(held)


def rows(held: tuple[Held, ...]) -> Iterator[dict[str, Cell]]:
    """For the table."""
    for each in held:
        yield {
            "network": "resnet18",
            "engine": f"{each.engine} int8, whole worker" + (f" ({each.lost})" if each.lost else ""),
            "rss_mib": each.idle_mib,
            "rss_asked_mib": each.small_mib,
            "rss_full_mib": each.full_mib,
            "rss_back_mib": each.again_mib,
            "switch_ms": each.pause_ms,
            "verify_kept_ms": each.kept_prepare_ms,
            "p99_in_switch": each.p99_ratio,
            "requests": each.asked,
            "failed": each.failed,
        }


def goals(held: tuple[Held, ...]) -> Iterator[Goal]:
    """Memory and switching."""
    for each in held:
        label = f"resnet18 int8, {each.engine} worker:"
        yield Goal(
            f"{label} resident MiB, nobody asking", RSS_GOALS_MIB[each.engine], each.idle_mib, at_least=False
        )
        yield Goal(f"{label} MiB more after full and back", 10, each.left_mib, at_least=False)
        yield Goal(f"{label} pause of a switch, ms", 1, each.pause_ms, at_least=False)
        yield Goal(f"{label} p99 during a switch / steady", 2.5, each.p99_ratio, at_least=False)
        yield Goal(f"{label} failed requests", 0, each.failed, at_least=False)


async def _measured(bundle: Path, engine: str, directory: Path, extent: Extent) -> Held:
    path = directory / "worker.sock"
    listeners = open_listeners(path, None)
    spec = WorkerSpec(bundle, engine, listeners.sockets, directory / "cache")
    try:
        # The first start makes what is kept for the next; the next is what a device mostly sees.
        async with _worker(spec) as keeper:
            for point in ("full", "int8"):
                await _switch(keeper, point)
        async with _worker(spec) as keeper:
            await asyncio.sleep(extent.settle_s)
            idle = _resident_mib(keeper)
            with SteadyClient(path, open_bundle(bundle)) as client:
                await asyncio.sleep(extent.settle_s)
                small = _resident_mib(keeper)
                there_and_back: dict[str, float] = {}
                pauses = []
                for point in ("full", "int8") * extent.round_trips:
                    pauses.append((await client.through(_switch(keeper, point))).switch_ms)
                    await asyncio.sleep(extent.settle_s)
                    there_and_back[point] = _resident_mib(keeper)
        keeping = replace(spec, keep_bytes=KEEP_ALL)
        async with _worker(keeping) as keeper:
            prepares = [
                (await _switch(keeper, point)).prepare_ms for point in ("full", "int8") * extent.round_trips
            ]
    finally:
        listeners.close()
    return Held(
        engine,
        idle,
        small,
        there_and_back["full"],
        there_and_back["int8"],
        max(pauses),
        min(prepares),
        client.p99_ratio(),
        client.asked,
        client.failed,
    )


@asynccontextmanager
async def _worker(spec: WorkerSpec) -> AsyncIterator[WorkerKeeper]:
    keeper = WorkerKeeper(spec, "int8", lambda _: None)
    running = asyncio.create_task(keeper.run())
    try:
        await asyncio.wait_for(keeper.wait_ready(), 120)
        yield keeper
    finally:
        await keeper.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(running, 20)


async def _switch(keeper: WorkerKeeper, point: str) -> Switched:
    switched = await keeper.switch(point)
    if not switched.ok:
        raise WorkerDown(f"the worker stays where it is: {switched.reason}")
    return switched


def _resident_mib(keeper: WorkerKeeper) -> float:
    if keeper.pid is None:
        raise WorkerDown("the worker ended")
    return float(psutil.Process(keeper.pid).memory_info().rss) / 2**20


def _write(bundle: Path, network: TrainedNetwork, engine: Engine) -> None:
    shutil.rmtree(bundle, ignore_errors=True)
    points = tuple(
        OperatingPoint(name, engine.name, _UNMEASURED, precision=precision)
        for name, precision in (("full", Precision.FP32), ("int8", Precision.INT8))
    )
    inputs = inputs_for(network, 2)
    outputs = {point.name: engine.prepare(point).run(inputs).outputs for point in points}
    classes = outputs["full"].shape[1]
    shape = inputs.shape[1:]
    contents = Contents(
        model="resnet18",
        input=InputSpec("image", shape, 1.0),
        labels=tuple(str(index) for index in range(classes)),
        built=Provenance("tidegate bench engine", 0, "random weights", {}, ""),
        network=network,
        ladder=Ladder(points),
        calibration=Calibration(
            weights_sha256=hashlib.sha256(weights_file(network)).hexdigest(),
            graphs_sha256=graphs_sha256(network),
            data="random weights",
            parts={},
            failure="nothing is certified",
            comparison=Comparison(),
            search={},
            alphas=(),
            delta=0.05,
            seed=0,
            torch="",
            measured_on="",
        ),
        canaries=Canaries(inputs, outputs["full"], {name: found.argmax(1) for name, found in outputs.items()}),
        samples=Samples(np.zeros((1, *shape), np.uint8), np.zeros(1, np.int64), 1.0),
    )
    write_bundle(bundle, contents)
