"""ONNX files made by hand, and what ONNX Runtime answers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper, save

from tidegate.engines.onnxruntime.runtime import InferenceSession, SessionOptions

OPSET = 17


def model(
    nodes: Sequence[NodeProto],
    shape: Sequence[int | str],
    constants: Mapping[str, np.ndarray] | None = None,
    *,
    outputs: Sequence[str] = ("y",),
    opset: int = OPSET,
    kind: int = TensorProto.FLOAT,
    others: Sequence[ValueInfoProto] = (),
) -> ModelProto:
    """A model from `x`, of that shape with the samples' size in front, and from `others`."""
    initializers = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    given = helper.make_tensor_value_info("x", kind, shape)
    found = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "made by hand", [given, *others], found, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def written(folder: Path, made: ModelProto) -> Path:
    path = folder / "model.onnx"
    save(made, path)
    return path


def asked(
    made: ModelProto, inputs: np.ndarray, output: str = "y", others: Mapping[str, np.ndarray] | None = None
) -> np.ndarray:
    """What ONNX Runtime answers, to one sample at a time, with the same `others` each time."""
    options = SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run([output], {"x": sample[None], **(others or {})})[0] for sample in inputs])
