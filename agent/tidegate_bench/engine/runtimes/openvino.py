"""OpenVINO on our export, quantized by NNCF as OpenVINO's documentation does it."""

from collections.abc import Callable
from pathlib import Path

from tidegate.engines.engine import Array
from tidegate_bench.engine.runtimes.peer import Peer, Run
from tidegate_bench.engine.store import FP32_ONNX, open_calibration, open_network
from tidegate_bench.engine.traits import is_transformer, only_clamps

_INT8 = "openvino int8.xml"


def _opener(model: str) -> Callable[[Path, int], Run]:
    def opened(directory: Path, threads: int) -> Run:
        import openvino  # noqa: PLC0415 - each process loads its runtime alone

        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            # Where the processor has bf16, OpenVINO would compute what is called fp32 here in it.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        core = openvino.Core()
        loaded = core.read_model(directory / model)
        loaded.reshape([1, *open_network(directory).segments[0].input_shape])
        request = core.compile_model(loaded, "CPU", settings).create_infer_request()

        def run(batch: Array) -> Array:
            outputs: Array = next(iter(request.infer([batch]).values()))
            return outputs

        return run

    return opened


def _quantize(directory: Path) -> None:
    """Preset and model type as NNCF's documentation advises: MIXED where activations go below zero."""
    import nncf  # noqa: PLC0415 - in the process that converts alone
    import openvino  # noqa: PLC0415

    network = open_network(directory)
    inputs = open_calibration(directory)
    model = openvino.Core().read_model(directory / FP32_ONNX)
    model.reshape([1, *network.segments[0].input_shape])
    quantized = nncf.quantize(
        model,
        nncf.Dataset([sample[None] for sample in inputs]),
        subset_size=len(inputs),
        preset=nncf.QuantizationPreset.PERFORMANCE if only_clamps(network) else nncf.QuantizationPreset.MIXED,
        model_type=nncf.ModelType.TRANSFORMER if is_transformer(network) else None,
    )
    openvino.save_model(quantized, directory / _INT8, compress_to_fp16=False)


PEERS = (
    Peer("openvino fp32", ("openvino",), _opener(FP32_ONNX)),
    Peer("openvino int8", ("openvino",), _opener(_INT8), _quantize, ("nncf",)),
)
