"""ONNX Runtime as it comes, and its own quantizer as its documentation uses it."""

import logging
from collections.abc import Callable
from pathlib import Path

from tidegate.engines.engine import Array
from tidegate.engines.onnxruntime.graph import X
from tidegate_bench.engine.runtimes.peer import Peer, Run
from tidegate_bench.engine.store import FP32_ONNX, open_calibration
from tidegate_bench.engine.traits import is_transformer

_STATIC, _DYNAMIC = "ort int8.onnx", "ort int8 dynamic.onnx"


def _opener(model: str, spinning: bool = True) -> Callable[[Path, int], Run]:
    """With its own thread pool settings, spinning included unless that is turned off."""

    def opened(directory: Path, threads: int) -> Run:
        from tidegate.engines.onnxruntime.runtime import InferenceSession, SessionOptions  # noqa: PLC0415 - see peers

        options = SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        if not spinning:
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = InferenceSession(str(directory / model), options, providers=["CPUExecutionProvider"])

        def run(batch: Array) -> Array:
            outputs: Array = session.run(None, {X: batch})[0]
            return outputs

        return run

    return opened


def _quantize_static(directory: Path) -> None:
    """QDQ, per channel: what its documentation recommends for convolutional networks."""
    from tidegate.engines.onnxruntime.runtime import quantization  # noqa: PLC0415 - see peers

    quantizer = quantization()
    quantizer.quantize_static(
        str(_prepared(directory)),
        str(directory / _STATIC),
        _Reader(open_calibration(directory)),
        quant_format=quantizer.QuantFormat.QDQ,
        per_channel=True,
        # Not its default: on x86 with VNNI unsigned activations are the faster, so the harder, peer.
        activation_type=quantizer.QuantType.QUInt8,
    )


def _quantize_dynamic(directory: Path) -> None:
    """Ranges of activations found at each inference: what its documentation recommends for transformers."""
    from tidegate.engines.onnxruntime.runtime import quantization  # noqa: PLC0415 - see peers

    quantization().quantize_dynamic(
        str(_prepared(directory)), str(directory / _DYNAMIC), op_types_to_quantize=["MatMul"], per_channel=True
    )


def _prepared(directory: Path) -> Path:
    from tidegate.engines.onnxruntime.runtime import quantization  # noqa: PLC0415 - see peers

    logging.getLogger().setLevel(logging.ERROR)
    prepared = directory / "ort prepared.onnx"
    quantization().shape_inference.quant_pre_process(
        str(directory / FP32_ONNX), str(prepared), skip_symbolic_shape=True
    )
    return prepared


class _Reader:
    """Calibration inputs in the form that ONNX Runtime asks for."""

    def __init__(self, inputs: Array) -> None:
        self._rest = iter([{X: sample[None]} for sample in inputs])

    def get_next(self) -> dict[str, Array] | None:
        """The next input, None at the end."""
        return next(self._rest, None)


PEERS = (
    Peer("ort fp32", ("onnxruntime",), _opener(FP32_ONNX)),
    Peer("ort fp32 unspun", ("onnxruntime",), _opener(FP32_ONNX, spinning=False)),
    Peer("ort int8", ("onnxruntime",), _opener(_STATIC), _quantize_static, ("onnx",)),
    Peer("ort int8 unspun", ("onnxruntime",), _opener(_STATIC, spinning=False), _quantize_static, ("onnx",)),
    Peer("ort int8 dynamic", ("onnxruntime",), _opener(_DYNAMIC), _quantize_dynamic, ("onnx",), is_transformer),
)
