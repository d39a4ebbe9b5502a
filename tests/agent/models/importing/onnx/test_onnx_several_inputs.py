"""ONNX files with whole numbers, with inputs that are fixed, with branches, and with loops over time."""

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="NOT RUN: pip install onnx")
pytest.importorskip("onnxruntime")

from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx_files import asked, model

from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.graph.operators import EMBEDDING
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.lowering.reader import ExportError
from tidegate.models.importing.onnx.file import graph_of
from tidegate.models.importing.onnx.module import OnnxModule

RNG = np.random.default_rng(3)
WORDS, WIDTH, LENGTH = 11, 6, 5


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def answers(made: ModelProto, inputs: np.ndarray, fixed: dict[str, float] | None = None) -> np.ndarray:
    """Those of the graph that the file becomes."""
    module = OnnxModule(graph_of(made, "model.onnx", fixed or {}), inputs.shape[1:])
    network = discover(module, torch.from_numpy(inputs[:2])).network
    return EagerEngine(network).build(KnobSettings()).forward(inputs.astype(np.float32)).outputs


def test_a_table_that_is_read_by_one_hot_vectors_is_read_by_row() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "sizes"], ["column"]),
        helper.make_node("Expand", ["column", "wide"], ["columns"]),
        helper.make_node("Equal", ["columns", "places"], ["truth"]),
        helper.make_node("Cast", ["truth"], ["one_hot"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["one_hot", "table"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["y"], axes=[1], keepdims=0),
    ]
    constants = {
        "sizes": np.asarray([-1, LENGTH, 1]),
        "wide": np.asarray([1, LENGTH, WORDS]),
        "places": np.arange(WORDS, dtype=np.int32).reshape(1, 1, -1),
        "table": floats(WORDS, WIDTH),
    }
    made = model(nodes, ("n", LENGTH), constants, kind=TensorProto.INT32)
    inputs = RNG.integers(0, WORDS, (4, LENGTH)).astype(np.int32)
    module = OnnxModule(graph_of(made, "model.onnx"), (LENGTH,))
    network = discover(module, torch.from_numpy(inputs[:2]).long()).network
    assert EMBEDDING in {node.operator for segment in network.segments for node in segment.nodes}
    found = EagerEngine(network).build(KnobSettings()).forward(inputs.astype(np.float32)).outputs
    assert np.abs(found - asked(made, inputs)).max() < 1e-6


def masked_words() -> ModelProto:
    """The mean of the words that a mask names, with a type that is added to each."""
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["words"]),
        helper.make_node("Gather", ["types", "kind"], ["kinds"]),
        helper.make_node("Add", ["words", "kinds"], ["both"]),
        helper.make_node("Cast", ["mask"], ["shares"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["shares", "last"], ["column"]),
        helper.make_node("Mul", ["both", "column"], ["kept"]),
        helper.make_node("ReduceMean", ["kept"], ["y"], axes=[1], keepdims=0),
    ]
    constants = {"table": floats(WORDS, WIDTH), "types": floats(2, WIDTH), "last": np.asarray([2])}
    others = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "length"]) for name in ("mask", "kind")]
    return model(nodes, ("n", "length"), constants, kind=TensorProto.INT64, others=others)


def test_inputs_that_are_always_one_number_are_fixed() -> None:
    made = masked_words()
    inputs = RNG.integers(0, WORDS, (4, LENGTH))
    ones = np.ones((1, LENGTH), np.int64)
    expected = asked(made, inputs, others={"mask": ones, "kind": 0 * ones})
    found = answers(made, inputs, {"mask": 1, "kind": 0})
    assert np.abs(found - expected).max() < 1e-6
    expected = asked(made, inputs, others={"mask": ones, "kind": ones})
    assert np.abs(answers(made, inputs, {"mask": 1, "kind": 1}) - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        (TensorProto.INT64, 0.5),
        (TensorProto.INT64, 2.0**63),
        (TensorProto.INT64, float("nan")),
        (TensorProto.INT64, float("inf")),
        (TensorProto.INT32, -(2.0**31) - 1),
        (TensorProto.BOOL, 2),
        (TensorProto.FLOAT, float("nan")),
        (TensorProto.FLOAT, 1e39),
        (TensorProto.FLOAT16, 70_000.0),
    ],
)
def test_what_an_input_can_not_hold_is_no_number_to_fix_it_to(kind: int, number: float) -> None:
    nodes = [
        helper.make_node("Cast", ["kind"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "number"], ["y"]),
    ]
    made = model(nodes, ("N", LENGTH), {})
    made.graph.input.append(helper.make_tensor_value_info("kind", kind, [1]))
    with pytest.raises(ExportError, match=r"input kind is .* can't hold"):
        graph_of(made, "model.onnx", {"kind": number})
    assert graph_of(made, "model.onnx", {"kind": 1.0}).fixed["kind"].number == 1.0


def test_of_several_inputs_the_refusal_says_how_to_fix_them() -> None:
    with pytest.raises(ExportError, match=r"3 inputs \(x, mask, kind\).*--fix mask=1 --fix kind=0"):
        graph_of(masked_words(), "model.onnx")
    with pytest.raises(ExportError, match="no input masc to fix; it has x, mask, kind"):
        graph_of(masked_words(), "model.onnx", {"masc": 1, "kind": 0})


def branching(condition: list[object]) -> ModelProto:
    """x times 2 or the sum over x, by what the given nodes make of it."""
    sides = []
    for name, factor in (("twice", 2.0), ("thrice", 3.0)):
        factors = numpy_helper.from_array(np.asarray(factor, np.float32), f"{name}/factor")
        node = helper.make_node("Mul", ["x", f"{name}/factor"], [f"{name}/y"])
        found = helper.make_tensor_value_info(f"{name}/y", TensorProto.FLOAT, None)
        sides.append(helper.make_graph([node], name, [], [found], [factors]))
    choice = helper.make_node("If", ["which"], ["chosen"], then_branch=sides[0], else_branch=sides[1])
    nodes = [*condition, choice, helper.make_node("Relu", ["chosen"], ["y"])]
    constants = {"rate": np.asarray(16000), "axis": np.asarray(1), "length": np.asarray(LENGTH)}
    others = [helper.make_tensor_value_info("sr", TensorProto.INT64, [])]
    return model(nodes, ("n", LENGTH), constants, others=others)


@pytest.mark.parametrize("rate", [16000, 8000])
def test_of_branches_the_one_that_a_fixed_input_takes_is_kept(rate: int) -> None:
    made = branching([helper.make_node("Equal", ["sr", "rate"], ["which"])])
    inputs = floats(3, LENGTH)
    expected = asked(made, inputs, others={"sr": np.asarray(rate)})
    assert np.array_equal(answers(made, inputs, {"sr": rate}), expected)


def test_of_branches_the_one_that_the_shape_takes_is_kept() -> None:
    made = branching(
        [
            helper.make_node("Shape", ["x"], ["shape"]),
            helper.make_node("Gather", ["shape", "axis"], ["size"]),
            helper.make_node("Equal", ["size", "length"], ["which"]),
        ]
    )
    inputs = floats(3, LENGTH)
    assert np.array_equal(answers(made, inputs, {"sr": 0}), np.maximum(inputs * 2, 0))


def test_a_branch_by_the_inputs_values_is_refused() -> None:
    made = branching(
        [
            helper.make_node("ReduceMax", ["x"], ["largest"], keepdims=0),
            helper.make_node("Cast", ["largest"], ["which"], to=TensorProto.BOOL),
        ]
    )
    with pytest.raises(ExportError, match="If: which side is taken depends on the input's values"):
        answers(made, floats(3, LENGTH), {"sr": 0})


@pytest.mark.parametrize("stated", [[LENGTH, "n", 3], None])
def test_answers_with_time_before_samples_come_with_samples_in_front(stated: list[int | str] | None) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["steps"]),
        helper.make_node("Transpose", ["steps"], ["by_time"], perm=[1, 0, 2]),
        helper.make_node("Slice", ["by_time", "last", "before", "time", "back"], ["y"]),
    ]
    backwards = {"last": -1, "before": -(2**62), "time": 0, "back": -1}
    constants = {name: np.asarray([number]) for name, number in backwards.items()}
    made = model(nodes, ("n", LENGTH, WIDTH), {"w": floats(WIDTH, 3), **constants})
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, stated))
    inputs = floats(4, LENGTH, WIDTH)
    expected = np.concatenate([asked(made, sample[None]).swapaxes(0, 1) for sample in inputs])
    assert np.abs(answers(made, inputs) - expected.reshape(4, -1)).max() < 1e-5


# Each way of each operator is torch's own; unrolling them takes most of a test's time.
@pytest.mark.parametrize(
    ("operator", "gates", "both_ways"), [("LSTM", 4, True), ("GRU", 3, False), ("RNN", 1, False)]
)
def test_loops_over_time_answer_as_onnx_runtime(operator: str, gates: int, both_ways: bool) -> None:
    size, directions, steps = 4, 2 if both_ways else 1, 3
    attributes: dict[str, object] = {"hidden_size": size}
    attributes |= {"direction": "bidirectional"} if both_ways else {}
    attributes |= {"linear_before_reset": 1} if operator == "GRU" else {}
    nodes = [
        helper.make_node("Transpose", ["x"], ["by_time"], perm=[1, 0, 2]),
        helper.make_node(operator, ["by_time", "w", "r", "b"], ["all"], name="memory", **attributes),
        helper.make_node("Transpose", ["all"], ["by_sample"], perm=[2, 0, 1, 3]),
        helper.make_node("Reshape", ["by_sample", "flat"], ["y"]),
    ]
    constants = {
        "w": floats(directions, gates * size, WIDTH),
        "r": floats(directions, gates * size, size),
        "b": floats(directions, 2 * gates * size),
        "flat": np.asarray([0, steps * directions * size]),
    }
    made = model(nodes, ("n", steps, WIDTH), constants)
    inputs = floats(3, steps, WIDTH)
    assert np.abs(answers(made, inputs) - asked(made, inputs)).max() < 1e-5


def test_a_loop_with_other_activations_is_refused() -> None:
    nodes = [
        helper.make_node("RNN", ["x", "w", "r"], ["y"], name="memory", hidden_size=2, activations=["Relu"]),
    ]
    constants = {"w": floats(1, 2, WIDTH), "r": floats(1, 2, 2)}
    with pytest.raises(ExportError, match=r"memory: RNN: activations \['relu'\]; allowed are the usual ones"):
        OnnxModule(graph_of(model(nodes, ("n", LENGTH, WIDTH), constants), "model.onnx"), (LENGTH, WIDTH))
