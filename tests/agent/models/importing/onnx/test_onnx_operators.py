"""Each ONNX operator in torch, against ONNX Runtime; others are refused by node, reason and substitute."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="NOT RUN: pip install onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper
from onnx_files import asked, model, written

from tidegate.models.importing.lowering.reader import ExportError
from tidegate.models.importing.onnx.file import graph_of, read_onnx
from tidegate.models.importing.onnx.module import OnnxModule
from tidegate.models.importing.onnx.naming import path_of

IMAGE, TOKENS = (4, 9, 8), (6, 8)
RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def whole(*values: int) -> np.ndarray:
    return np.asarray(values, np.int64)


def halves(value: float) -> np.ndarray:
    return np.asarray(value, np.float32)


CASES: list[tuple[str, tuple[int, ...], dict[str, np.ndarray], dict[str, object], int]] = [
    ("Conv", IMAGE, {"w": floats(6, 2, 3, 3), "b": floats(6)}, {"group": 2, "pads": [1, 1, 1, 1]}, 17),
    ("Conv", IMAGE, {"w": floats(6, 4, 3, 3)}, {"pads": [0, 1, 2, 1], "strides": [2, 2]}, 17),
    ("Conv", IMAGE, {"w": floats(6, 4, 3, 3)}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, 11),
    ("Conv", IMAGE, {"w": floats(6, 4, 2, 2)}, {"auto_pad": "SAME_LOWER"}, 17),
    ("Conv", TOKENS, {"w": floats(5, 6, 3)}, {"pads": [1, 1], "dilations": [1]}, 17),
    ("Conv", (2, 5, 6, 6), {"w": floats(3, 2, 3, 3, 3)}, {"pads": [1] * 6, "strides": [2, 1, 1]}, 17),
    ("MaxPool", (2, 4, 6, 6), {}, {"kernel_shape": [2, 2, 2], "strides": [2, 2, 2]}, 17),
    ("ConvTranspose", IMAGE, {"w": floats(4, 3, 2, 2), "b": floats(3)}, {"strides": [2, 2]}, 17),
    ("ConvTranspose", IMAGE, {"w": floats(4, 3, 3, 3)}, {"strides": [2, 2], "pads": [1, 1, 0, 0]}, 17),
    ("MaxPool", IMAGE, {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, 17),
    ("MaxPool", IMAGE, {}, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, 17),
    ("MaxPool", IMAGE, {}, {"kernel_shape": [3, 3], "pads": [0, 0, 2, 1]}, 17),
    ("AveragePool", IMAGE, {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}, 17),
    ("AveragePool", IMAGE, {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}, 17),
    ("GlobalAveragePool", IMAGE, {}, {}, 17),
    ("GlobalMaxPool", IMAGE, {}, {}, 17),
    ("BatchNormalization", IMAGE, {"s": floats(4), "b": floats(4), "m": floats(4), "v": floats(4) ** 2}, {}, 17),
    ("InstanceNormalization", IMAGE, {"s": floats(4), "b": floats(4)}, {"epsilon": 1e-3}, 17),
    ("LayerNormalization", TOKENS, {"s": floats(8), "b": floats(8)}, {"axis": -1}, 17),
    ("LayerNormalization", TOKENS, {"s": floats(6, 8)}, {"axis": 1}, 17),
    ("GroupNormalization", IMAGE, {"s": floats(4), "b": floats(4)}, {"num_groups": 2}, 21),
    ("MatMul", TOKENS, {"w": floats(8, 5)}, {}, 17),
    ("Gemm", (8,), {"w": floats(8, 5), "b": floats(5)}, {"alpha": 0.5, "beta": 2.0}, 17),
    ("Gemm", (8,), {"w": floats(5, 8), "b": floats(1, 5)}, {"transB": 1}, 17),
    ("Clip", IMAGE, {"low": halves(-0.5), "high": halves(0.5)}, {}, 17),
    ("Clip", IMAGE, {}, {"min": 0.0, "max": 6.0}, 10),
    ("Clip", IMAGE, {"low": halves(-0.25)}, {}, 17),
    ("HardSigmoid", IMAGE, {}, {}, 17),
    ("HardSigmoid", IMAGE, {}, {"alpha": 1 / 6}, 17),
    ("HardSwish", IMAGE, {}, {}, 17),
    ("LeakyRelu", IMAGE, {}, {"alpha": 0.2}, 17),
    ("PRelu", IMAGE, {"s": floats(4, 1, 1)}, {}, 17),
    ("Elu", IMAGE, {}, {"alpha": 0.5}, 17),
    ("Selu", IMAGE, {}, {}, 17),
    ("Celu", IMAGE, {}, {"alpha": 2.0}, 17),
    ("Gelu", IMAGE, {}, {"approximate": "tanh"}, 20),
    ("Mish", IMAGE, {}, {}, 18),
    ("Softplus", IMAGE, {}, {}, 17),
    ("Softsign", IMAGE, {}, {}, 17),
    ("Erf", IMAGE, {}, {}, 17),
    ("Pow", IMAGE, {"p": halves(2)}, {}, 17),
    ("Sub", IMAGE, {"c": halves(0.5)}, {}, 17),
    ("Div", IMAGE, {"c": floats(4, 1, 1)}, {}, 17),
    ("Max", IMAGE, {"c": floats(4, 1, 1)}, {}, 17),
    ("Softmax", IMAGE, {}, {"axis": 1}, 17),
    ("Softmax", IMAGE, {}, {"axis": 1}, 11),
    ("LogSoftmax", TOKENS, {}, {"axis": -1}, 17),
    ("LpNormalization", TOKENS, {}, {"axis": -1, "p": 2}, 17),
    ("ReduceMean", IMAGE, {}, {"axes": [2, 3], "keepdims": 0}, 17),
    ("ReduceMean", IMAGE, {"a": whole(-1)}, {}, 18),
    ("ReduceMax", IMAGE, {"a": whole(2, 3)}, {"keepdims": 0}, 18),
    ("ReduceSum", TOKENS, {"a": whole(1)}, {}, 17),
    ("ReduceL2", TOKENS, {}, {"axes": [1]}, 17),
    ("Reshape", IMAGE, {"s": whole(0, -1)}, {}, 17),
    ("Reshape", IMAGE, {"s": whole(-1, 4, 72)}, {}, 17),
    ("Flatten", IMAGE, {}, {}, 17),
    ("Transpose", TOKENS, {}, {"perm": [0, 2, 1]}, 17),
    ("Squeeze", (1, 8), {"a": whole(1)}, {}, 17),
    ("Unsqueeze", TOKENS, {}, {"axes": [1, 3]}, 11),
    ("Slice", IMAGE, {"s": whole(1, -6), "e": whole(3, 2**62), "a": whole(1, 2), "t": whole(1, 2)}, {}, 17),
    ("Slice", IMAGE, {}, {"starts": [1], "ends": [-1], "axes": [3]}, 9),
    ("Slice", TOKENS, {"s": whole(-1), "e": whole(-(2**62)), "a": whole(2), "t": whole(-1)}, {}, 17),
    ("Gather", TOKENS, {"i": whole(3, 4, 0, -1)}, {"axis": 1}, 17),
    ("Gather", TOKENS, {"i": np.asarray(2)}, {"axis": 1}, 17),
    ("Concat", IMAGE, {"c": floats(1, 2, 9, 8)}, {"axis": 1}, 17),
    ("Tile", TOKENS, {"r": whole(1, 2, 1)}, {}, 17),
    ("Pad", IMAGE, {"p": whole(0, 0, 1, 2, 0, 0, 0, 1), "v": halves(0.5)}, {}, 17),
    ("Pad", IMAGE, {"p": whole(0, 0, 1, 2, 0, 0, 0, 1)}, {"mode": "reflect"}, 17),
    ("Pad", IMAGE, {"p": whole(0, 0, 1, 2, 0, 0, 0, 1)}, {"mode": "edge"}, 17),
    ("DepthToSpace", IMAGE, {}, {"blocksize": 2}, 17),
    ("DepthToSpace", IMAGE, {}, {"blocksize": 2, "mode": "CRD"}, 17),
    ("SpaceToDepth", (2, 8, 6), {}, {"blocksize": 2}, 17),
    ("Resize", IMAGE, {"": halves(0), "z": np.asarray([1, 1, 2, 3], np.float32)}, {}, 17),
    (
        "Resize",
        IMAGE,
        {"": halves(0), " ": halves(0), "z": whole(1, 4, 12, 20)},
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
        17,
    ),
    (
        "Resize",
        IMAGE,
        {"": halves(0), " ": halves(0), "z": whole(1, 4, 12, 20)},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        17,
    ),
    ("Upsample", IMAGE, {"z": np.asarray([1, 1, 2, 2], np.float32)}, {}, 9),
]


@pytest.mark.parametrize(
    ("operator", "shape", "constants", "attributes", "opset"),
    CASES,
    ids=[f"{case[0]}-{index}" for index, case in enumerate(CASES)],
)
@pytest.mark.parametrize("samples", [1, "n"])
def test_it_answers_as_onnx_runtime(
    operator: str,
    shape: tuple[int, ...],
    constants: dict[str, np.ndarray],
    attributes: dict[str, object],
    opset: int,
    samples: int | str,
) -> None:
    held = {name: array for name, array in constants.items() if name.strip()}
    node = helper.make_node(operator, ["x", *(name.strip() for name in constants)], ["y"], name="n", **attributes)
    made = model([node], (samples, *shape), held, opset=opset)
    module = OnnxModule(graph_of(made, "model.onnx"), shape)
    inputs = floats(3, *shape)
    expected = asked(made, inputs)
    with torch.no_grad():
        assert np.abs(module(torch.from_numpy(inputs)).numpy() - expected).max() < 1e-5 * max(
            1, np.abs(expected).max()
        )


def test_all_that_can_not_be_taken_is_said_at_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"], name="places"),
        helper.make_node("Relu", ["x"], ["kept"], name="kept"),
        helper.make_node("TopK", ["kept", "k"], ["v", "i"], name="best"),
        helper.make_node("Det", ["x"], ["y"], name="odd"),
    ]
    constants = {"k": whole(1)}
    path = written(tmp_path, model(nodes, ("n", 4, 4), constants))
    with pytest.raises(ExportError) as refused:
        read_onnx(path)
    lines = str(refused.value).splitlines()
    assert [line.removeprefix(f"{path}: node ").split(": ")[:2] for line in lines] == [
        ["places", "NonZero"],
        ["best", "TopK"],
        ["odd", "Det"],
    ]
    assert "export the model without it" in lines[0]


def test_a_quantized_file_is_refused_with_what_to_give() -> None:
    constants = {"s": halves(0.1), "z": np.asarray(0, np.uint8)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="d"),
    ]
    with pytest.raises(ExportError, match=r"node q: QuantizeLinear: .*give the model in float32"):
        graph_of(model(nodes, ("n", 4), constants), "model.onnx")


@pytest.mark.parametrize(
    ("shape", "kind", "words"),
    [
        ((4, 8), TensorProto.FLOAT, "for 4 samples at a time; export it for 1"),
        (("n", 8), TensorProto.STRING, "texts and the like belong in front of the model"),
    ],
)
def test_inputs_that_can_not_be_taken(shape: tuple[int | str, ...], kind: int, words: str) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], shape, kind=TensorProto.FLOAT)
    made.graph.input[0].type.tensor_type.elem_type = kind
    with pytest.raises(ExportError, match=words):
        graph_of(made, "model.onnx")


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("{0: 'cat', 1: 'dog'}", ("cat", "dog")),
        ("{'1': 'dog', '0': 'cat'}", ("cat", "dog")),
        ("['cat', 'dog']", ("cat", "dog")),
        ("{1: 'dog', 2: 'cat'}", ()),
        ("['cat', 'cat']", ()),
        ("__import__('os')", ()),
        ("[[[", ()),
        ("{0: 7}", ()),
        (r"['a\nb']", ()),
    ],
)
def test_names_of_classes_are_read_from_the_metadata(text: str, classes: tuple[str, ...]) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], ("n", 4))
    helper.set_model_props(made, {"names": text})
    assert graph_of(made, "model.onnx").classes == classes


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("a\nb\n\u3000\n ", ("a", "b", "\u3000", " ")),
        ("a\nb\n", ("a", "b")),
        ("a\na", ()),
        ("ab\nc", ()),
        ("", ()),
    ],
)
def test_letters_of_readers_are_read_from_the_metadata(text: str, letters: tuple[str, ...]) -> None:
    made = model([helper.make_node("Relu", ["x"], ["y"])], ("n", 4))
    helper.set_model_props(made, {"character": text})
    assert graph_of(made, "model.onnx").classes == letters


def test_one_of_several_outputs_is_named() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    graph = graph_of(model(nodes, ("n", 4), outputs=("y", "z")), "model.onnx")
    with pytest.raises(ExportError, match="name one with --output: y, z"):
        OnnxModule(graph, (4,))
    x = torch.tensor([[1.0, -2.0, 3.0, -4.0]])
    assert torch.equal(OnnxModule(graph, (4,), "z")(x), -x)
    assert torch.equal(OnnxModule(graph, (4,), "z,y")(x), torch.cat([-x, x.relu()], 1))
    with pytest.raises(ExportError, match="has no output z,nothing"):
        OnnxModule(graph, (4,), "z,nothing")


def test_arguments_that_torch_has_no_form_for_are_refused_by_node() -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], name="all"),
        helper.make_node("Transpose", ["x"], ["t"], name="turn", perm=[0, 2, 1]),
        helper.make_node("Pow", ["t", "p"], ["y"], name="powers"),
        helper.make_node("Relu", ["m"], ["z"], name="behind"),
    ]
    graph = graph_of(model(nodes, ("n", 2, 3), {"p": floats(2)}, outputs=("y", "z")), "model.onnx")
    with pytest.raises(ExportError) as refused:
        OnnxModule(graph, (2, 3), "y")
    told = str(refused.value)
    assert "node powers: Pow: has several exponents" in told
    assert "behind" not in told


@pytest.mark.parametrize(
    ("name", "operator", "path"),
    [
        ("/layer1/layer1.0/conv1/Conv", "Conv", "layer1.0.conv1"),
        ("/features/features.0/features.0.0/Conv", "Conv", "features.0.0"),
        ("Conv@38", "Conv", "Conv_38"),
        ("/block.0/conv", "Conv", "block.0.conv"),
        ("model/dense/BiasAdd;x", "Add", "model.dense.BiasAdd_x"),
        ("/Add_3", "Add", "Add_3"),
    ],
)
def test_names_of_nodes_become_paths(name: str, operator: str, path: str) -> None:
    assert path_of(name, operator) == path
