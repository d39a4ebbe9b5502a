"""Our own engines as peers: at their fixed points, with gates that always open, and with threads that spin."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tidegate.engines.engine import Engine, Variant
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.memory import keep_one_heap
from tidegate.engines.runtime.network_cache import NetworkCache
from tidegate.models.ladder import Figures, OperatingPoint, Precision, Ranges
from tidegate.models.network import Network, blocks_of
from tidegate_bench.engine.runtimes.peer import Peer, Run
from tidegate_bench.engine.store import open_network, open_ranges

_UNMEASURED = Figures(1, None, None, 0.0, 0.0, 1.0, 1.0, 1.0, 1)


def unmeasured(
    engine: str,
    precision: str,
    threads: int,
    thresholds: Mapping[str, float] | None = None,
    ranges: Ranges | None = None,
) -> OperatingPoint:
    """A point of no ladder, for an engine to run; with `ranges` where it computes in 8 bits."""
    return OperatingPoint(
        "measured",
        engine,
        _UNMEASURED,
        precision=Precision(precision),
        threads=threads,
        thresholds=thresholds or {},
        ranges=ranges or {},
    )


def open_onnx(directory: Path, network: Network, spin: bool = False) -> Engine:
    """Our engine in a process set up as a worker is, with what it keeps beside the network."""
    keep_one_heap()
    from tidegate.engines.onnxruntime.engine import OnnxEngine  # noqa: PLC0415 - each process loads its runtime alone

    return OnnxEngine(network, NetworkCache(Cache(directory / "onnx")), spin)


def _open_litert(network: Network) -> Engine:
    keep_one_heap()
    from tidegate.engines.litert.engine import LiteRtEngine  # noqa: PLC0415 - each process loads its runtime alone

    return LiteRtEngine(network)


def opened_variant(engine: str, precision: str, directory: Path, threads: int) -> Variant:
    """One of ours at its fixed point, ready to run."""
    point = unmeasured(engine, precision, threads, ranges=open_ranges(directory))
    return _prepared(engine, directory, open_network(directory), point)


def _prepared(
    engine: str, directory: Path, network: Network, point: OperatingPoint, *, spin: bool = False
) -> Variant:
    opened = _open_litert(network) if engine == "litert" else open_onnx(directory, network, spin)
    return opened.prepare(point)


def _opener(engine: str, precision: str, *, gated: bool = False, spin: bool = False) -> Callable[[Path, int], Run]:
    def opened(directory: Path, threads: int) -> Run:
        network = open_network(directory)
        # Gates that open every time: what gating costs when it saves nothing.
        gates = {segment.name: -1.0 for segment in blocks_of(network)} if gated else None
        point = unmeasured(engine, precision, threads, gates, open_ranges(directory))
        variant = _prepared(engine, directory, network, point, spin=spin)
        return lambda batch: variant.run(batch).outputs

    return opened


_ONNX, _LITERT = ("onnxruntime",), ("ai-edge-litert",)

PEERS = (
    Peer("onnx fp32", _ONNX, _opener("onnx", "fp32")),
    Peer("onnx int8", _ONNX, _opener("onnx", "int8")),
    Peer("onnx fp32 spun", _ONNX, _opener("onnx", "fp32", spin=True)),
    Peer("onnx int8 spun", _ONNX, _opener("onnx", "int8", spin=True)),
    Peer("onnx fp32 gated", _ONNX, _opener("onnx", "fp32", gated=True)),
    Peer("onnx int8 gated", _ONNX, _opener("onnx", "int8", gated=True)),
    Peer("litert fp32", _LITERT, _opener("litert", "fp32")),
    Peer("litert int8", _LITERT, _opener("litert", "int8")),
    Peer("litert fp32 gated", _LITERT, _opener("litert", "fp32", gated=True)),
    Peer("litert int8 gated", _LITERT, _opener("litert", "int8", gated=True)),
)
