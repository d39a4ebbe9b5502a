"""The ONNX files that the peers run: our export in fp32, and ONNX Runtime's own static quantization of it."""

import logging
from pathlib import Path

from tidegate.calibration.knob_settings import KnobSettings as FullPoint
from tidegate.engines.engine import Array
from tidegate.engines.onnxruntime.graph import X, build_graph
from tidegate.engines.onnxruntime.initializers import Initializers
from tidegate.engines.onnxruntime.protobuf import model_bytes
from tidegate.engines.onnxruntime.runtime import quantization
from tidegate.engines.plan.arithmetic import Arithmetic
from tidegate.engines.plan.execution import plan_execution
from tidegate.engines.plan.partitions import Partition
from tidegate_bench.engine.store import inputs_for, open_network


def keep_onnx_models(directory: Path, with_int8: bool, inputs: Array | None = None) -> None:
    """Write fp32.onnx and, as ONNX Runtime's documentation does it (QDQ, per channel), int8.onnx.

    `inputs` (samples, *input shape) are what int8 is calibrated on; None: normal values.
    """
    network = open_network(directory)
    whole = Partition(plan_execution(network, FullPoint()))
    plain = directory / "fp32.onnx"
    plain.write_bytes(model_bytes(build_graph(whole, Arithmetic(), Initializers(network))))
    if not with_int8:
        return
    quantizer = quantization()
    logging.getLogger().setLevel(logging.ERROR)
    prepared = directory / "prepared.onnx"
    quantizer.shape_inference.quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    quantizer.quantize_static(
        str(prepared),
        str(directory / "int8.onnx"),
        _Reader(inputs_for(network) if inputs is None else inputs),
        quant_format=quantizer.QuantFormat.QDQ,
        per_channel=True,
        # Not its default: on x86 with VNNI unsigned activations are the faster, so the harder, peer.
        activation_type=quantizer.QuantType.QUInt8,
    )


class _Reader:
    """Calibration inputs in the form that ONNX Runtime asks for."""

    def __init__(self, inputs: Array) -> None:
        self._rest = iter([{X: sample[None]} for sample in inputs])

    def get_next(self) -> dict[str, Array] | None:
        """The next input, None at the end."""
        return next(self._rest, None)
