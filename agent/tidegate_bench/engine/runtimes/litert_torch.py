"""LiteRT with its own converter from torch and AI Edge Quantizer, as its documentation does it without TensorFlow.

Our engine `litert` runs on the same interpreter with models of our own.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from tidegate.engines.engine import Array
from tidegate_bench.engine.runtimes.peer import Peer, Run
from tidegate_bench.engine.store import open_calibration, open_network

_FP32, _INT8 = "litert-torch fp32.tflite", "litert-torch int8.tflite"
_IMAGE_AXES = 4


def _opener(model: str) -> Callable[[Path, int], Run]:
    def opened(directory: Path, threads: int) -> Run:
        from tidegate.engines.litert.runtime import Interpreter  # noqa: PLC0415 - each process loads its runtime alone

        interpreter = Interpreter(str(directory / model), num_threads=threads)
        interpreter.allocate_tensors()
        (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()

        def run(batch: Array) -> Array:
            interpreter.set_tensor(entry["index"], channels_last(batch))
            interpreter.invoke()
            outputs: Array = interpreter.get_tensor(end["index"])
            return outputs

        return run

    return opened


def channels_last(inputs: Array) -> Array:
    """Images (n, channels, h, w) as (n, h, w, channels), anything else as it is."""
    return np.ascontiguousarray(np.moveaxis(inputs, 1, -1)) if inputs.ndim == _IMAGE_AXES else inputs


def _convert(directory: Path) -> None:
    import litert_torch  # noqa: PLC0415 - in the process that converts alone
    import torch  # noqa: PLC0415

    from tidegate_bench.engine.whole_module import whole_module  # noqa: PLC0415

    inputs = open_calibration(directory)
    module = whole_module(open_network(directory))
    if inputs.ndim == _IMAGE_AXES:
        module = litert_torch.to_channel_last_io(module, args=[0])
    litert_torch.convert(module, (torch.from_numpy(channels_last(inputs[:1])),)).export(str(directory / _FP32))


def _quantize(directory: Path) -> None:
    """Its static recipe for 8-bit weights and activations; inputs and outputs stay float, as with all peers."""
    from ai_edge_quantizer import quantizer, recipe  # noqa: PLC0415 - in the process that converts alone

    from tidegate.engines.litert.runtime import Interpreter  # noqa: PLC0415

    _convert(directory)
    plain = str(directory / _FP32)
    ((signature, names),) = Interpreter(plain).get_signature_list().items()
    samples = [{names["inputs"][0]: sample[None]} for sample in channels_last(open_calibration(directory))]
    quantizing = quantizer.Quantizer(plain)
    quantizing.load_quantization_recipe(recipe.static_wi8_ai8())
    for place in (recipe.TFLOperationName.INPUT, recipe.TFLOperationName.OUTPUT):
        quantizing.update_quantization_recipe(
            regex=".*", operation_name=place, algorithm_key=recipe.AlgorithmName.NO_QUANTIZE
        )
    ranges = quantizing.calibrate({signature: samples})
    quantizing.quantize(ranges).export_model(str(directory / _INT8), overwrite=True)


_RUNS_WITH = ("ai-edge-litert",)

PEERS = (
    Peer("litert-torch fp32", _RUNS_WITH, _opener(_FP32), _convert, ("litert-torch",)),
    Peer("litert-torch int8", _RUNS_WITH, _opener(_INT8), _quantize, ("litert-torch", "ai-edge-quantizer")),
)
