"""ResNet-18 in real worker processes: what they hold in memory, and what going down and up a ladder takes."""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from agent.bench.engine_store import inputs_for, open_network
from agent.bench.figures import Cell, Goal
from agent.engines.catalog import installed_engines
from agent.engines.engine import Engine
from agent.engines.network_cache import NetworkCache
from agent.models.bundle_file import InputSpec, Provenance
from agent.models.bundle_writer import Contents, weights_file, write_bundle
from agent.models.evidence import Canaries, Samples
from agent.models.graph_file import graphs_sha256
from agent.models.ladder import Figures, Ladder, OperatingPoint, Precision
from agent.models.ladder_file import Calibration
from agent.models.network import TrainedNetwork
from agent.supervisor.keeper import WorkerDown, WorkerKeeper, WorkerSpec
from agent.supervisor.listeners import open_listeners

RSS_GOALS_MIB = {"onnx": 90, "packed": 320}
SETTLE_S = 1.5
ROUND_TRIPS = 5
KEEP_ALL = 2**40

_UNMEASURED = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)


@dataclass(frozen=True, slots=True)
class Held:
    """One engine's worker: resident MiB at int8, at full, at int8 again; the pause of a switch in ms; and the time
    until a kept variant may answer, which its canaries take."""

    engine: str
    small_mib: float
    full_mib: float
    again_mib: float
    pause_ms: float
    kept_prepare_ms: float


def measure_workers(kept_network: Path) -> tuple[Held, ...]:
    """A worker per installed engine. Raises WorkerDown when one does not come up."""
    network = open_network(kept_network)
    held = []
    for engine in installed_engines():
        if engine not in RSS_GOALS_MIB:
            continue
        with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as directory:
            bundle = Path(directory) / "bundle"
            _write(bundle, network, engine)
            held.append(asyncio.run(_measured(bundle, engine, Path(directory))))
    return tuple(held)


def rows(held: tuple[Held, ...]) -> Iterator[dict[str, Cell]]:
    """For the table."""
    for each in held:
        yield {
            "network": "resnet18",
            "threads": 1,
            "engine": f"{each.engine} int8, whole worker",
            "rss_mib": round(each.small_mib, 1),
            "rss_full_mib": round(each.full_mib, 1),
            "rss_back_mib": round(each.again_mib, 1),
            "switch_ms": round(each.pause_ms, 3),
            "verify_kept_ms": round(each.kept_prepare_ms, 1),
        }


def goals(held: tuple[Held, ...]) -> Iterator[Goal]:
    """Memory and switching."""
    for each in held:
        label = f"resnet18 int8, {each.engine} worker:"
        yield Goal(f"{label} resident MiB", RSS_GOALS_MIB[each.engine], each.small_mib, at_least=False)
        yield Goal(f"{label} MiB more after full and back", 10, each.again_mib - each.small_mib, at_least=False)
        yield Goal(f"{label} pause of a switch, ms", 1, each.pause_ms, at_least=False)


async def _measured(bundle: Path, engine: str, directory: Path) -> Held:
    listeners = open_listeners(directory / "worker.sock", None)
    try:
        # The first start makes what is kept for the next; the next is what a device mostly sees.
        await _visit(WorkerSpec(bundle, engine, listeners.sockets, directory / "cache"), ["full", "int8"])
        spec = WorkerSpec(bundle, engine, listeners.sockets, directory / "cache")
        sizes, pauses, _ = await _visit(spec, ["full", "int8"])
        keeping = WorkerSpec(bundle, engine, listeners.sockets, directory / "cache", keep_bytes=KEEP_ALL)
        _, _, prepares = await _visit(keeping, ["full", "int8"] * ROUND_TRIPS)
    finally:
        listeners.close()
    small, full, again = sizes
    return Held(engine, small, full, again, max(pauses), min(prepares))


async def _visit(spec: WorkerSpec, points: list[str]) -> tuple[list[float], list[float], list[float]]:
    """Resident MiB at the start (int8) and at each point, the pauses, and the times to prepare."""
    keeper = WorkerKeeper(spec, "int8", lambda _: None)
    running = asyncio.create_task(keeper.run())
    try:
        await asyncio.wait_for(keeper.wait_ready(), 120)
        await asyncio.sleep(SETTLE_S)
        sizes, pauses, prepares = [_resident_mib(keeper)], [], []
        for point in points:
            switched = await keeper.switch(point)
            if not switched.ok:
                raise WorkerDown(f"{spec.engine} stays where it is: {switched.reason}")
            pauses.append(switched.switch_ms)
            prepares.append(switched.prepare_ms)
            if len(points) <= 2:
                await asyncio.sleep(SETTLE_S)
            sizes.append(_resident_mib(keeper))
        return sizes, pauses, prepares
    finally:
        await keeper.stop()
        with suppress(TimeoutError):
            await asyncio.wait_for(running, 20)


def _resident_mib(keeper: WorkerKeeper) -> float:
    if keeper.pid is None:
        raise WorkerDown("the worker ended")
    return float(psutil.Process(keeper.pid).memory_info().rss) / 2**20


def _write(bundle: Path, network: TrainedNetwork, engine: str) -> None:
    shutil.rmtree(bundle, ignore_errors=True)
    points = tuple(
        OperatingPoint(name, engine, _UNMEASURED, precision=precision)
        for name, precision in (("full", Precision.FP32), ("int8", Precision.INT8))
    )
    inputs = inputs_for(network, 2)
    opened = _open(engine, network)
    outputs = {point.name: opened.prepare(point).run(inputs).outputs for point in points}
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


def _open(engine: str, network: TrainedNetwork) -> Engine:
    if engine == "onnx":
        from agent.engines.onnx.engine import OnnxEngine  # noqa: PLC0415 - an extra, which need not be installed

        return OnnxEngine(network, lambda: inputs_for(network, 2), NetworkCache(None))
    from agent.engines.packed.engine import PackedEngine  # noqa: PLC0415 - torch is an extra
    from agent.engines.packed.probe import probe  # noqa: PLC0415

    return PackedEngine(network, lambda: inputs_for(network, 2), probe())
