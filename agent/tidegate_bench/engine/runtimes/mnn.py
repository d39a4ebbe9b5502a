"""MNN, with the converter and the offline quantizer of its own package.

The module with both is called directly: the commands around it, `mnnconvert` and `mnnquant`, report each use to a
server and install packages by themselves.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tidegate.engines.engine import Array
from tidegate.engines.onnxruntime.graph import X, Y
from tidegate_bench.engine.runtimes.peer import Peer, Run
from tidegate_bench.engine.store import FP32_ONNX, open_calibration, open_network

_FP32, _INT8 = "mnn fp32.mnn", "mnn int8.mnn"


def _opener(model: str) -> Callable[[Path, int], Run]:
    def opened(directory: Path, threads: int) -> Run:
        from MNN import expr, nn  # noqa: PLC0415 - each process loads its runtime alone

        settings = {"backend": "CPU", "numThread": threads, "precision": "high"}
        runtime = nn.create_runtime_manager((settings,))
        net = nn.load_module_from_file(str(directory / model), [X], [Y], runtime_manager=runtime)
        placeholder = expr.placeholder([1, *open_network(directory).segments[0].input_shape], expr.NCHW)

        def run(batch: Array) -> Array:
            placeholder.write(np.ascontiguousarray(batch))
            outputs: Array = expr.convert(net.forward([placeholder])[0], expr.NCHW).read()
            return outputs

        return run

    return opened


def _convert(directory: Path) -> None:
    import _tools  # noqa: PLC0415
    import MNN  # noqa: F401, PLC0415 - puts _tools where it can be imported

    target = directory / _FP32
    arguments = ["-f", "ONNX", "--modelFile", str(directory / FP32_ONNX), "--MNNModel", str(target)]
    _tools.mnnconvert(["mnnconvert", *arguments, "--bizCode", "tidegate"])
    _check(target, "convert")


def _quantize(directory: Path) -> None:
    """With its defaults: KL divergence for activations, the largest absolute value for weights."""
    _convert(directory)
    import _tools  # noqa: PLC0415 - after MNN

    inputs = open_calibration(directory)
    shape = {"name": X, "shape": [1, *inputs.shape[1:]]}
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as kept:
        samples = Path(kept) / "samples"
        for index, sample in enumerate(inputs):
            folder = samples / f"{index:06}"
            folder.mkdir(parents=True)
            np.savetxt(folder / f"{X}.txt", sample.reshape(1, -1))
            (folder / "input.json").write_text(json.dumps({"inputs": [shape], "outputs": [Y]}))
        settings = {
            "path": str(samples),
            "input_type": "sequence",
            "used_sample_num": len(inputs),
            "feature_quantize_method": "KL",
            "weight_quantize_method": "MAX_ABS",
            "inputs": [shape],
        }
        config = Path(kept) / "settings.json"
        config.write_text(json.dumps(settings))
        target = directory / _INT8
        # Its own command passes three strings instead of a list, and ends the process.
        _tools.mnnquant(["mnnquant", str(directory / _FP32), str(target), str(config)])
    _check(target, "quantize")


def _check(written: Path, step: str) -> None:
    if not written.exists():
        raise RuntimeError(f"MNN did not {step} the network and gave no reason")


PEERS = (
    Peer("mnn fp32", ("MNN",), _opener(_FP32), _convert),
    Peer("mnn int8", ("MNN",), _opener(_INT8), _quantize),
)
