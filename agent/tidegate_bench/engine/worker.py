"""ResNet-18 in real worker processes: what they hold in memory, and what going down and up a ladder takes."""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from tidegate.engines.engine import Engine
from tidegate.engines.runtime.installed import installed_engines
from tidegate.messages import Switched
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.evidence import Canaries, Samples
from tidegate.models.bundle.graph_file import graphs_sha256
from tidegate.models.bundle.ladder_file import Calibration
from tidegate.models.bundle.manifest import InputSpec, Provenance
from tidegate.models.bundle.writer import Contents, weights_file, write_bundle
from tidegate.models.ladder import Comparison, Figures, Ladder, OperatingPoint, Precision
from tidegate.models.network import TrainedNetwork
from tidegate.supervisor.sockets.listeners import open_listeners
from tidegate.supervisor.worker.channel import WorkerDown
from tidegate.supervisor.worker.process import WorkerProcess
from tidegate.supervisor.worker.spec import WorkerSpec
from tidegate_bench.engine.runtimes.tidegate import open_onnx
from tidegate_bench.engine.steady_client import SteadyClient
from tidegate_bench.engine.store import open_calibration, open_network, open_ranges
from tidegate_bench.figures import Cell, Goal
from tidegate_bench.progress import Progress

RSS_GOALS_MIB = {"onnx": 90}
KEEP_ALL = 2**40

_UNMEASURED = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)


@dataclass(frozen=True, slots=True)
class Extent:
    """How often up and down, and how long to wait after a switch before memory is read; requests go on."""

    round_trips: int
    settle_s: float


FULL = Extent(6, 1.5)
QUICK = Extent(1, 0.8)
_READINGS, _BETWEEN_READINGS_S = 15, 0.037
"""Together half a second, in which many requests come and go."""


@dataclass(frozen=True, slots=True)
class WorkerFigures:
    """One engine's worker; None where it went down, with the reason in `lost`.

    Resident MiB at int8 before anybody asks; then, asked all the time with JSON, at int8, at full, at int8 again;
    when nobody asks any more, before the way to full and after it. The longest pause of a switch, and the time
    until a kept variant may answer, which its canaries take. p99 of requests that meet a switch over that of the
    others at the same point.
    """

    engine: str
    idle_mib: float | None = None
    small_mib: float | None = None
    full_mib: float | None = None
    again_mib: float | None = None
    silent_mib: float | None = None
    silent_again_mib: float | None = None
    pause_ms: float | None = None
    kept_prepare_ms: float | None = None
    p99_ratio: float | None = None
    asked: int | None = None
    failed: int | None = None
    lost: str = ""

    @property
    def left_mib(self) -> float | None:
        """What stays behind after full and back."""
        if self.silent_again_mib is None or self.silent_mib is None:
            return None
        return self.silent_again_mib - self.silent_mib


def measure_workers(kept_network: Path, progress: Progress, *, quick: bool) -> tuple[WorkerFigures, ...]:
    """A worker per installed engine; one that goes down is told and loses its own row."""
    network = open_network(kept_network)
    held = []
    for engine in installed_engines():
        if engine not in RSS_GOALS_MIB:
            continue
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
            bundle = Path(directory) / "bundle"
            _write(bundle, kept_network, network, open_onnx(kept_network, network))
            try:
                held.append(asyncio.run(_measured(bundle, engine, Path(directory), QUICK if quick else FULL)))
            except WorkerDown as error:
                progress(f"{engine} worker: {error}; its row is lost")
                held.append(WorkerFigures(engine, lost=str(error)))
    return tuple(held)


def rows(held: tuple[WorkerFigures, ...]) -> Iterator[dict[str, Cell]]:
    """For the table."""
    for each in held:
        yield {
            "network": "resnet18",
            "engine": f"{each.engine} int8, whole worker" + (f" ({each.lost})" if each.lost else ""),
            "rss_mib": each.idle_mib,
            "rss_asked_mib": each.small_mib,
            "rss_full_mib": each.full_mib,
            "rss_back_mib": each.again_mib,
            "rss_silent_mib": each.silent_mib,
            "rss_silent_again_mib": each.silent_again_mib,
            "switch_ms": each.pause_ms,
            "verify_kept_ms": each.kept_prepare_ms,
            "p99_in_switch": each.p99_ratio,
            "requests": each.asked,
            "failed": each.failed,
        }


def goals(held: tuple[WorkerFigures, ...]) -> Iterator[Goal]:
    """Memory and switching."""
    for each in held:
        label = f"resnet18 int8, {each.engine} worker:"
        yield Goal(
            f"{label} resident MiB, nobody asking any more",
            RSS_GOALS_MIB[each.engine],
            each.silent_mib,
            at_least=False,
        )
        yield Goal(f"{label} MiB more after full and back", 10, each.left_mib, at_least=False)
        yield Goal(f"{label} pause of a switch, ms", 1, each.pause_ms, at_least=False)
        yield Goal(f"{label} p99 during a switch / steady", 2.5, each.p99_ratio, at_least=False)
        yield Goal(f"{label} failed requests", 0, each.failed, at_least=False)


async def _measured(bundle: Path, engine: str, directory: Path, extent: Extent) -> WorkerFigures:
    path = directory / "worker.sock"
    listeners = open_listeners(path, None)
    spec = WorkerSpec(bundle, engine, listeners.sockets, directory / "cache")
    try:
        # The first start makes what is kept for the next; the next is what a device mostly sees.
        async with _worker(spec) as worker:
            for point in ("full", "int8"):
                await _switch(worker, point)
        async with _worker(spec) as worker:
            await asyncio.sleep(extent.settle_s)
            idle = await _resident_mib(worker)
            with SteadyClient(path, open_bundle(bundle)) as first:
                await asyncio.sleep(extent.settle_s)
                small = await _resident_mib(worker)
            silent = await _silent_mib(worker, extent)
            with SteadyClient(path, open_bundle(bundle)) as client:
                there_and_back: dict[str, float] = {}
                pauses = []
                for point in ("full", "int8") * extent.round_trips:
                    pauses.append((await client.through(_switch(worker, point))).switch_ms)
                    await asyncio.sleep(extent.settle_s)
                    there_and_back[point] = await _resident_mib(worker)
            silent_again = await _silent_mib(worker, extent)
        keeping = replace(spec, keep_bytes=KEEP_ALL)
        async with _worker(keeping) as worker:
            prepares = [
                (await _switch(worker, point)).prepare_ms for point in ("full", "int8") * extent.round_trips
            ]
    finally:
        listeners.close()
    return WorkerFigures(
        engine,
        idle,
        small,
        there_and_back["full"],
        there_and_back["int8"],
        silent,
        silent_again,
        max(pauses),
        min(prepares),
        client.p99_ratio(),
        first.asked + client.asked,
        first.failed + client.failed,
    )


@asynccontextmanager
async def _worker(spec: WorkerSpec) -> AsyncIterator[WorkerProcess]:
    worker = WorkerProcess(spec, "int8", lambda _: None)
    running = asyncio.create_task(worker.run())
    try:
        await asyncio.wait_for(worker.wait_ready(), 120)
        yield worker
    finally:
        await worker.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(running, 20)


async def _switch(worker: WorkerProcess, point: str) -> Switched:
    switched = await worker.switch(point)
    if not switched.ok:
        raise WorkerDown(f"the worker stays where it is: {switched.reason}")
    return switched


async def _silent_mib(worker: WorkerProcess, extent: Extent) -> float:
    """When nobody has asked for two of the reports that a supervisor asks for."""
    for _ in range(2):
        await worker.report()
    await asyncio.sleep(extent.settle_s)
    return await _resident_mib(worker)


async def _resident_mib(worker: WorkerProcess) -> float:
    """The median of some readings: while requests come, one reading differs from the next by up to 10 MiB."""
    readings = []
    for _ in range(_READINGS):
        await asyncio.sleep(_BETWEEN_READINGS_S)
        if worker.pid is None:
            raise WorkerDown("the worker ended")
        readings.append(float(psutil.Process(worker.pid).memory_info().rss) / 2**20)
    return median(readings)


def _write(bundle: Path, kept_network: Path, network: TrainedNetwork, engine: Engine) -> None:
    shutil.rmtree(bundle, ignore_errors=True)
    ranges = open_ranges(kept_network)
    points = tuple(
        OperatingPoint(name, engine.name, _UNMEASURED, precision=precision, ranges=given)
        for name, precision, given in (("full", Precision.FP32, {}), ("int8", Precision.INT8, ranges))
    )
    inputs = open_calibration(kept_network)[:2]
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
        canaries=Canaries(
            inputs, outputs["full"], {name: found.argmax(1) for name, found in outputs.items()}, Comparison()
        ),
        samples=Samples(np.zeros((1, *shape), np.uint8), np.zeros(1, np.int64), 1.0),
    )
    write_bundle(bundle, contents)
