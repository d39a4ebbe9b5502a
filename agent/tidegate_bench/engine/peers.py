"""One contestant of `tidegate bench engine` in a process of its own, so that no two runtimes share a thread pool.

`python -m tidegate_bench.engine.peers PEER DIRECTORY THREADS`: opens, says ready, then runs for as many seconds as
each line of standard input says and answers with a line of JSON.
"""

import shutil
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from tidegate.engines.engine import Array, Engine
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.memory import keep_one_heap
from tidegate.engines.runtime.network_cache import NetworkCache
from tidegate.models.ladder import Figures, OperatingPoint, Precision, Ranges
from tidegate.models.network import TrainedNetwork, blocks_of
from tidegate_bench.engine.store import inputs_for, open_network, open_ranges
from tidegate_bench.race import answer_requests

FEWEST_RUNS = 3
_NEEDS = {"ort": "onnxruntime", "onnx": "onnxruntime", "openvino": "openvino", "litert": "ai_edge_litert"}
_QUANTIZED = frozenset({"ort", "openvino"})

Run = Callable[[Array], Array]

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


def open_onnx(directory: Path, network: TrainedNetwork, spin: bool = False) -> Engine:
    """Our engine in a process set up as a worker is, with what it keeps beside the network."""
    keep_one_heap()
    from tidegate.engines.onnxruntime.engine import OnnxEngine  # noqa: PLC0415 - each process loads its runtime alone

    return OnnxEngine(network, NetworkCache(Cache(directory / "onnx")), spin)


def open_litert(network: TrainedNetwork) -> Engine:
    """Our engine on LiteRT, which keeps nothing."""
    keep_one_heap()
    from tidegate.engines.litert.engine import LiteRtEngine  # noqa: PLC0415

    return LiteRtEngine(network)


def _ours(engine: str, precision: str, *, gated: bool = False, spin: bool = False) -> Callable[[Path, int], Run]:
    def opened(directory: Path, threads: int) -> Run:
        network = open_network(directory)
        gates = _open_gates(network) if gated else None
        point = unmeasured(engine, precision, threads, gates, open_ranges(directory))
        opened = open_litert(network) if engine == "litert" else open_onnx(directory, network, spin)
        variant = opened.prepare(point)
        return lambda batch: variant.run(batch).outputs

    return opened


def _open_gates(network: TrainedNetwork) -> dict[str, float]:
    """A gate before every block, each of which opens every time: what gating costs when it saves nothing."""
    return {segment.name: -1.0 for segment in blocks_of(network)}


def _eager(directory: Path, threads: int) -> Run:
    from tidegate.engines.reference.eager import EagerEngine  # noqa: PLC0415

    variant = EagerEngine(open_network(directory)).prepare(unmeasured("eager", "fp32", threads))
    return lambda batch: variant.run(batch).outputs


def _compiled(directory: Path, threads: int) -> Run:
    import torch  # noqa: PLC0415

    from tidegate_bench.engine.networks import SUBJECTS  # noqa: PLC0415
    from tidegate_bench.zoo.folding import inference_segments  # noqa: PLC0415

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = torch.nn.Sequential(*(module for _, module in inference_segments(SUBJECTS[directory.name].make())))
    torch._inductor.config.freezing = True  # noqa: SLF001 - how its documentation turns freezing on
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # left out of torch's stubs
    compiled = torch.compile(net, dynamic=False)

    def run(batch: Array) -> Array:
        with torch.no_grad():
            outputs: Array = compiled(torch.from_numpy(batch)).numpy()
            return outputs

    return run


def _runtime(model: str, spinning: bool = True) -> Callable[[Path, int], Run]:
    """ONNX Runtime as it comes: its own thread pool settings, spinning included unless that is turned off."""

    def opened(directory: Path, threads: int) -> Run:
        from tidegate.engines.onnxruntime.runtime import InferenceSession, SessionOptions  # noqa: PLC0415

        options = SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        if not spinning:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = InferenceSession(str(directory / model), options, providers=["CPUExecutionProvider"])

        def run(batch: Array) -> Array:
            outputs: Array = session.run(None, {"x": batch})[0]
            return outputs

        return run

    return opened


def _openvino(model: str) -> Callable[[Path, int], Run]:
    def opened(directory: Path, threads: int) -> Run:
        import openvino  # noqa: PLC0415

        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
        }
        core = openvino.Core()
        loaded = core.read_model(directory / model)
        loaded.reshape([1, *inputs_for(open_network(directory), 1).shape[1:]])
        compiled = core.compile_model(loaded, "CPU", settings)
        request = compiled.create_infer_request()

        def run(batch: Array) -> Array:
            outputs: Array = next(iter(request.infer([batch]).values()))
            return outputs

        return run

    return opened


PEERS: Mapping[str, Callable[[Path, int], Run]] = {
    "eager": _eager,
    "torch.compile": _compiled,
    "ort fp32": _runtime("fp32.onnx"),
    "ort fp32 unspun": _runtime("fp32.onnx", spinning=False),
    "ort int8": _runtime("int8.onnx"),
    "ort int8 unspun": _runtime("int8.onnx", spinning=False),
    "openvino fp32": _openvino("fp32.onnx"),
    "openvino int8": _openvino("int8.onnx"),
    "onnx fp32": _ours("onnx", "fp32"),
    "onnx int8": _ours("onnx", "int8"),
    "onnx fp32 spun": _ours("onnx", "fp32", spin=True),
    "onnx int8 spun": _ours("onnx", "int8", spin=True),
    "onnx fp32 gated": _ours("onnx", "fp32", gated=True),
    "onnx int8 gated": _ours("onnx", "int8", gated=True),
    "litert fp32": _ours("litert", "fp32"),
    "litert int8": _ours("litert", "int8"),
    "litert fp32 gated": _ours("litert", "fp32", gated=True),
    "litert int8 gated": _ours("litert", "int8", gated=True),
}


def installed(peer: str) -> bool:
    """Whether this machine has what a peer needs; int8 of the others comes from ONNX Runtime's own quantizer."""
    if peer == "torch.compile" and not any(map(shutil.which, ("g++", "clang++", "c++"))):
        return False
    runtime, _, kind = peer.partition(" ")
    if find_spec(_NEEDS.get(runtime, "torch")) is None:
        return False
    return runtime not in _QUANTIZED or not kind.startswith("int8") or find_spec("onnx") is not None


def main() -> None:
    """The child."""
    peer, directory, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    sample = inputs_for(open_network(directory), 1)
    run = PEERS[peer](directory, threads)
    run(sample)
    process = psutil.Process()

    def turn(request: Mapping[str, Any]) -> Mapping[str, object]:
        latencies_ms: list[float] = []
        cpu_before = time.process_time()
        while len(latencies_ms) < FEWEST_RUNS or sum(latencies_ms) < request["seconds"] * 1e3:
            start = time.perf_counter()
            run(sample)
            latencies_ms.append((time.perf_counter() - start) * 1e3)
        cpu_ms = (time.process_time() - cpu_before) * 1e3 / len(latencies_ms)
        return {"latencies_ms": latencies_ms, "cpu_ms": cpu_ms, "rss_bytes": process.memory_info().rss}

    answer_requests(turn)


if __name__ == "__main__":
    main()
