"""An .onnx file as it is, answered by ONNX Runtime: no ladder, no knobs, nothing certified."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tidegate.engines.engine import Answer, Array, UnsupportedPoint
from tidegate.engines.onnxruntime.session import open_session
from tidegate.models.ladder import Figures, OperatingPoint

UNMEASURED = Figures(
    n=0,
    accuracy=None,
    newly_wrong=None,
    disagreement=math.nan,
    skip_ratio=math.nan,
    flops_ratio=math.nan,
    latency_p50_ms=math.nan,
    latency_p95_ms=math.nan,
    weights_resident_bytes=0,
)
DATATYPES: Mapping[str, np.dtype[np.generic]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(uint8)": np.dtype(np.uint8),
}


class FileVariant:
    """A `Variant` over a file with one input, of float32 or uint8, and one output. Raises UnsupportedPoint."""

    def __init__(self, path: Path, name: str, threads: int = 1) -> None:
        self._session = open_session(path, None, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or inputs[0].type not in DATATYPES:
            found = f"{len(inputs)} inputs ({', '.join(each.type for each in inputs)}) and {len(outputs)} outputs"
            raise UnsupportedPoint(f"{name}: found {found}; allowed are one of float or uint8, and one output")
        self._input, self._output = inputs[0].name, outputs[0].name
        self.input_shape = tuple(size if isinstance(size, int) else None for size in inputs[0].shape)
        """With the batch; None stands for any size."""
        self._datatype = DATATYPES[inputs[0].type]
        self.weights_resident_bytes = path.stat().st_size
        self.point = OperatingPoint(name, "onnx", UNMEASURED)

    def run(self, batch: Array) -> Answer:
        """Answer a batch as the file's input is shaped."""
        (outputs,) = self._session.run([self._output], {self._input: np.asarray(batch, self._datatype)})
        return Answer(np.asarray(outputs, np.float32), 0, 0, "onnx")

    def release(self) -> None:
        """Nothing: its memory goes with the last who holds it."""
