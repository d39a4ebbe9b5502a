"""ONNX files as networks: blocks are found, and every engine answers as ONNX Runtime, to any number of samples."""

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="NOT RUN: pip install onnx")
pytest.importorskip("onnxruntime")

from onnx import ModelProto, helper
from onnx_files import asked, model

from tidegate.calibration.candidate import candidate
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.calibration.target_engine import target_engines
from tidegate.models.bundle.graph_file import SegmentModel
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.onnx.file import graph_of
from tidegate.models.importing.onnx.module import OnnxModule

RNG = np.random.default_rng(1)
WIDTH, HEADS, TOKENS = 8, 2, 5


def floats(*shape: int) -> np.ndarray:
    return (RNG.normal(size=shape) / 2).astype(np.float32)


def cnn(samples: int | str) -> ModelProto:
    """Convolutions with batch norms, one of them in a residual block, named as exporters name them."""
    constants, nodes, at = {}, [], "x"
    for name, source, channels in (("Conv@38", "x", 3), ("/block.0/conv", "", 4), ("/block.1/conv", "", 4)):
        at = source or at
        constants |= {f"{name}.w": floats(4, channels, 3, 3)}
        constants |= {f"{name}.{part}": floats(4) for part in ("scale", "shift", "mean")}
        constants[f"{name}.variance"] = np.full(4, 0.7, np.float32)
        parts = [f"{name}.{part}" for part in ("scale", "shift", "mean", "variance")]
        nodes += [
            helper.make_node("Conv", [at, f"{name}.w"], [f"{name}.c"], name=name, pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", [f"{name}.c", *parts], [f"{name}.n"], name=f"{name}/norm"),
            helper.make_node("Relu", [f"{name}.n"], [f"{name}.r"], name=f"{name}/relu"),
        ]
        if not source:
            nodes.append(helper.make_node("Add", [at, f"{name}.r"], [f"{name}.a"], name=f"{name}/add"))
        at = f"{name}.r" if source else f"{name}.a"
    constants |= {
        "head.w": floats(6, 4),
        "head.b": floats(6),
        "sizes": np.asarray([samples if samples == 1 else 0, 4]),
    }
    nodes += [
        helper.make_node("GlobalAveragePool", [at], ["pooled"], name="pool"),
        helper.make_node("Reshape", ["pooled", "sizes"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "head.w", "head.b"], ["y"], name="head", transB=1),
    ]
    return model(nodes, (samples, 3, 6, 6), constants)


def encoder(samples: int | str) -> ModelProto:
    """Attention and an MLP, with layer norm and GELU taken apart, and reshapes by shapes that are computed."""
    constants: dict[str, np.ndarray] = {
        "gain": floats(WIDTH),
        "offset": floats(WIDTH),
        "qkv.w": floats(WIDTH, 3 * WIDTH),
        "qkv.b": floats(3 * WIDTH),
        "out.w": floats(WIDTH, WIDTH),
        "up.w": floats(WIDTH, 16),
        "down.w": floats(16, WIDTH),
        "two": np.asarray(2, np.float32),
        "one": np.asarray(1, np.float32),
        "half": np.asarray(0.5, np.float32),
        "root": np.asarray(2**0.5, np.float32),
        "epsilon": np.asarray(1e-5, np.float32),
        "scale": np.asarray((WIDTH // HEADS) ** -0.5, np.float32),
        "zero": np.asarray([0]),
        "heads": np.asarray([TOKENS, 3, HEADS, WIDTH // HEADS]),
        "joined": np.asarray([1 if samples == 1 else -1, TOKENS, WIDTH]),
    }
    steps = [
        ("ReduceMean", ["x"], ["m"], {"axes": [-1]}),
        ("Sub", ["x", "m"], ["d"], {}),
        ("Pow", ["d", "two"], ["d2"], {}),
        ("ReduceMean", ["d2"], ["v"], {"axes": [-1]}),
        ("Add", ["v", "epsilon"], ["ve"], {}),
        ("Sqrt", ["ve"], ["s"], {}),
        ("Div", ["d", "s"], ["e"], {}),
        ("Mul", ["e", "gain"], ["g"], {}),
        ("Add", ["g", "offset"], ["normed"], {}),
        ("MatMul", ["normed", "qkv.w"], ["p"], {}),
        ("Add", ["qkv.b", "p"], ["qkv"], {}),
        ("Shape", ["qkv"], ["shape"], {}),
        ("Gather", ["shape", "zero"], ["n"], {}),
        ("Concat", ["n", "heads"], ["sizes"], {"axis": 0}),
        ("Reshape", ["qkv", "sizes"], ["apart"], {}),
        ("Transpose", ["apart"], ["turned"], {"perm": [2, 0, 3, 1, 4]}),
        ("Split", ["turned"], ["q0", "k0", "v0"], {"axis": 0}),
        *[("Squeeze", [f"{each}0", "zero"], [each + "1"], {}) for each in "qkv"],
        ("Transpose", ["k1"], ["kt"], {"perm": [0, 1, 3, 2]}),
        ("MatMul", ["q1", "kt"], ["qk"], {}),
        ("Mul", ["qk", "scale"], ["scores"], {}),
        ("Softmax", ["scores"], ["shares"], {"axis": -1}),
        ("MatMul", ["shares", "v1"], ["mixed"], {}),
        ("Transpose", ["mixed"], ["back"], {"perm": [0, 2, 1, 3]}),
        ("Reshape", ["back", "joined"], ["one_row"], {}),
        ("MatMul", ["one_row", "out.w"], ["attended"], {}),
        ("Add", ["x", "attended"], ["between"], {}),
        ("MatMul", ["between", "up.w"], ["wide"], {}),
        ("Div", ["wide", "root"], ["scaled"], {}),
        ("Erf", ["scaled"], ["erf"], {}),
        ("Add", ["erf", "one"], ["raised"], {}),
        ("Mul", ["wide", "raised"], ["twice"], {}),
        ("Mul", ["twice", "half"], ["gelu"], {}),
        ("MatMul", ["gelu", "down.w"], ["narrow"], {}),
        ("Add", ["between", "narrow"], ["z"], {}),
        ("ReduceMean", ["z"], ["y"], {"axes": [1], "keepdims": 0}),
    ]
    nodes = [
        helper.make_node(kind, read, made, name=f"/{kind}_{index}", **attributes)
        for index, (kind, read, made, attributes) in enumerate(steps)
    ]
    return model(nodes, (samples, TOKENS, WIDTH), constants)


@pytest.mark.parametrize("samples", [1, "n"])
@pytest.mark.parametrize(("make", "shape", "blocks"), [(cnn, (3, 6, 6), 2), (encoder, (TOKENS, WIDTH), 2)])
def test_engines_answer_as_onnx_runtime(
    make: object, shape: tuple[int, ...], blocks: int, samples: int | str
) -> None:
    made = make(samples)
    inputs = RNG.normal(size=(5, *shape)).astype(np.float32)
    network = discover(OnnxModule(graph_of(made, "model.onnx"), shape), torch.from_numpy(inputs[:2])).network
    assert sum(segment.skippable for segment in network.segments) == blocks
    for segment in network.segments:
        assert SegmentModel.of(segment).segment() == segment
    expected = asked(made, inputs)
    for host in target_engines(("eager", "onnx")):
        answer = host.over(network).prepare(candidate(KnobSettings(), host.name)).run(inputs)
        assert np.abs(answer.outputs - expected).max() < 1e-5 * max(1, np.abs(expected).max()), host.name


def test_layer_norm_and_gelu_that_were_taken_apart_are_put_together() -> None:
    x = torch.zeros(2, TOKENS, WIDTH)
    network = discover(OnnxModule(graph_of(encoder("n"), "model.onnx"), x.shape[1:]), x).network
    operators = [node.operator.split(".")[1] for segment in network.segments for node in segment.nodes]
    assert operators.count("layer_norm") == 1
    assert operators.count("gelu") == 1
    assert operators.count("linear") == 4
