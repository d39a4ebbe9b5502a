"""Each operator with random arguments: its bounds hold, and every engine gives what eager gives behind it."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from operator_arguments import DOMAINS, Drawn, X
from random_networks import AA_RELU, _of_its_own, batch_for, difference, point
from random_operators import (
    CALLS,
    IMAGE,
    TOKENS,
    behind_an_exit,
    network_around,
    operator_networks,
    reads_above_zero,
    reads_row_numbers,
)
from test_engines_agree import ENGINES, INSTALLED, INT8, Open

from tidegate.engines.engine import Answer, UnsupportedPoint
from tidegate.engines.plan.arguments import Unconvertible
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.interpreter import Interpreter
from tidegate.models.errors import BundleError
from tidegate.models.gates.activity import mean_abs
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.graph.bounds import bounds_of
from tidegate.models.graph.operator import Domain
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.ladder import Activation, Precision
from tidegate.models.network import Shape, TrainedNetwork
from tidegate.models.precision import Fp32Weight

pytestmark = pytest.mark.long

EXACT = 2e-4
ONE_VALUE = 0.02
"""A value that lies on AA-ReLU's threshold to the last bits may be kept by one engine and not by the other."""
EACH = pytest.mark.parametrize(("operator", "shape"), CALLS, ids=[f"{c[0]}-{len(c[1])}d" for c in CALLS])
_RARELY = st.integers(0, 5).map(lambda drawn: drawn == 0)
FEW = settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def test_every_operator_is_drawn_here_and_every_kind_of_argument() -> None:
    assert OPERATORS.keys() == {operator for operator, _ in CALLS}
    assert DOMAINS.keys() == set(Domain)


@EACH
@settings(FEW, max_examples=6)
@given(data=st.data())
def test_no_value_leaves_its_bounds(data: st.DataObject, operator: str, shape: Shape) -> None:
    network = drawn(data, operator, shape)
    x = torch.from_numpy(batch_for(network)) * 3
    weights = {name: Fp32Weight(torch.from_numpy(array)) for name, array in network.arrays.items()}
    for segment in network.segments:
        bounds = bounds_of(segment)
        values = Interpreter(segment, weights).values(x)
        for node in segment.nodes:
            low, high = bounds[node.name].low, bounds[node.name].high
            slack = 1e-5 * max(1, abs(low)) if low else 0
            assert float(values[node.name].min()) >= low - slack, node
            assert float(values[node.name].max()) <= high + 1e-5 * max(1, abs(high)), node
        x = values[segment.nodes[-1].name]


@EACH
@FEW
@given(data=st.data())
def test_a_gate_behind_it_decides_as_with_eager(data: st.DataObject, operator: str, shape: Shape) -> None:
    network = drawn(data, operator, shape)
    batch = batch_for(network)
    eager = EagerEngine(network)
    seen: dict[str, np.ndarray] = {}
    eager.build(point("eager")).forward(
        batch, lambda block, given: seen.__setitem__(block, mean_abs(given.x).numpy())
    )
    scores = np.sort(seen["b1"])
    gap = int(np.argmax(np.diff(scores)))
    # Half-way in the widest gap, so that no rounding decides; some operators leave none.
    wide = scores[gap + 1] - scores[gap] > 1e-3
    chosen: dict[str, object] = {"thresholds": {"b1": float(scores[gap : gap + 2].mean()) if wide else -1.0}}
    tensors = [tensor for segment in network.segments for tensor in activation_tensors_of(segment)]
    if data.draw(st.booleans()):
        chosen["thresholds"] = {"b1": -1.0}
        chosen["activations"] = {
            tensor.name: _of_its_own(data.draw(AA_RELU), index) for index, tensor in enumerate(tensors)
        }
    expected = eager.prepare(point("eager", **chosen)).run(batch)
    for name, opened in INSTALLED.items():
        answer = run_on(opened, network, chosen, batch)
        if answer is None:
            continue
        off = difference(answer.outputs, expected.outputs)
        assert off < (ONE_VALUE if "activations" in chosen else EXACT), name
        assert answer.executed_blocks == expected.executed_blocks, name


def drawn(data: st.DataObject, operator: str, shape: Shape) -> TrainedNetwork:
    try:
        return data.draw(operator_networks(operator, shape))
    except (BundleError, RuntimeError, ValueError):
        # Arguments that torch itself refuses, such as a window larger than what it slides over.
        assume(False)
        raise


def run_on(opened: Open, network: TrainedNetwork, chosen: dict[str, object], batch: np.ndarray) -> Answer | None:
    """None where the engine refuses the operator with these arguments, which it does when it is opened."""
    try:
        engine = opened(network)
    except UnsupportedPoint:
        return None
    return engine.prepare(point("eager", **chosen)).run(batch)


@ENGINES
def test_a_gate_behind_a_clamp_sees_the_size_of_negative_values(opened: Open) -> None:
    network = clamped()
    batch = batch_for(network, 12)
    expected = EagerEngine(network).prepare(point("eager", thresholds={"b1": 0.1})).run(batch)
    answer = opened(network).prepare(point("eager", thresholds={"b1": 0.1})).run(batch)
    assert answer.executed_blocks == expected.executed_blocks == len(batch)


@ENGINES
def test_aa_relu_behind_a_clamp_keeps_negative_values(opened: Open) -> None:
    network = clamped()
    batch = batch_for(network, 12)
    chosen = {"activations": {"b0.op": Activation(threshold=0.1, clip=2.0, bits=6)}}
    expected = EagerEngine(network).prepare(point("eager", **chosen)).run(batch)
    answer = opened(network).prepare(point("eager", **chosen)).run(batch)
    plain = EagerEngine(network).prepare(point("eager")).run(batch)
    assert difference(answer.outputs, expected.outputs) < EXACT
    assert difference(expected.outputs, plain.outputs) < 0.1


@ENGINES
def test_an_argument_by_name_is_taken_or_refused_and_never_lost(opened: Open) -> None:
    network = clamped({"min_val": -0.2, "max_val": 0.2})
    batch = batch_for(network, 12)
    answer = run_on(opened, network, {}, batch)
    if answer is not None:
        assert difference(answer.outputs, EagerEngine(network).prepare(point("eager")).run(batch).outputs) < EXACT


@ENGINES
def test_what_has_no_converter_is_refused_when_the_engine_is_opened(opened: Open) -> None:
    with pytest.raises(Unconvertible, match=r"node op: aten\.hardtanh\.default: arguments \['max_val'"):
        opened(clamped({"min_val": -0.2, "max_val": 0.2}))


def test_litert_says_at_once_what_only_onnx_can_do() -> None:
    pooling = Drawn((X, (3, 2), (1, 1), (0, 0), (2, 1)))
    network = network_around(pooling, "aten.max_pool2d.default", IMAGE, None, np.random.default_rng(3))
    INSTALLED["onnx"](network)
    with pytest.raises(Unconvertible, match=r"node op: aten\.max_pool2d\.default: a dilation"):
        INSTALLED["litert"](network)


@ENGINES
def test_what_is_only_permuted_between_two_gates_goes_on_permuted(opened: Open) -> None:
    rng = np.random.default_rng(0)
    permuted = network_around(Drawn((X, (0, 2, 1))), "aten.permute.default", TOKENS, None, rng)
    network = behind_an_exit(permuted, rng)
    batch = batch_for(network)
    knobs: dict[str, object] = {"thresholds": {"a": -1.0, "b1": -1.0}}
    answer = run_on(opened, network, knobs, batch)
    assert answer is not None
    expected = EagerEngine(network).prepare(point("eager", **knobs)).run(batch)
    assert difference(answer.outputs, expected.outputs) < EXACT


def clamped(by_name: dict[str, float] | None = None) -> TrainedNetwork:
    """A layer, its values cut to -1..1, a block with a gate, a head."""
    call = Drawn((X, -1.0, 1.0)) if by_name is None else Drawn((X,), by_name)
    return network_around(call, "aten.hardtanh.default", IMAGE, None, np.random.default_rng(3))


@EACH
@FEW
@given(data=st.data())
def test_between_integer_layers_it_stays_near_eager(data: st.DataObject, operator: str, shape: Shape) -> None:
    """Also where its input was carried past an exit, and for one sample as for a batch.

    An engine that was opened refuses nothing here: its converters say what they can't do, and leave none of it to
    a point or the runtime.
    """
    network = drawn(data, operator, shape)
    # The block that an exit stands before adds anything to its input, and rounds it to other rows.
    has_exit = not reads_above_zero(operator) and not reads_row_numbers(operator)
    if has_exit:
        network = behind_an_exit(network, np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))))
    batch = batch_for(network)
    layers = [layer for segment in network.segments for layer in segment.layers]
    gates = {
        block: data.draw(st.sampled_from([None, -1.0, 1e9])) for block in (("a", "b1") if has_exit else ("b1",))
    }
    chosen: dict[str, object] = {
        "precision": data.draw(st.sampled_from([Precision.INT8, Precision.INT4])),
        "layer_precision": {layer: Precision.FP32 for layer in layers if data.draw(_RARELY)},
        "thresholds": {block: threshold for block, threshold in gates.items() if threshold is not None},
        # Margins lie in 0..1: nobody leaves, and what goes on crosses the border of a part.
        "exits": {"a": 2.0} if has_exit and data.draw(st.booleans()) else {},
    }
    expected = EagerEngine(network).prepare(point("eager", **chosen)).run(batch)
    for name, opened in INSTALLED.items():
        try:
            engine = opened(network)
        except UnsupportedPoint:
            continue
        variant = engine.prepare(point(name, **chosen))
        answer = variant.run(batch)
        assert difference(answer.outputs, expected.outputs) < INT8, name
        assert answer.executed_blocks == expected.executed_blocks, name
        alone = np.concatenate([variant.run(sample[None]).outputs for sample in batch])
        assert difference(alone, answer.outputs) < ONE_VALUE, name


@ENGINES
@pytest.mark.parametrize("seed", [17, 36])
def test_a_gated_block_of_one_channel_is_no_difference_of_equals(opened: Open, seed: int) -> None:
    """With other weights than these networks draw, what is left of such a sum is its rounding."""
    network = network_around(Drawn((X, (2,), True)), "aten.mean.dim", (5, 8), None, np.random.default_rng(seed))
    batch = batch_for(network)
    chosen: dict[str, object] = {"precision": Precision.INT4, "thresholds": {"b1": -1.0}}
    expected = EagerEngine(network).prepare(point("eager", **chosen)).run(batch)
    engine = opened(network)
    answer = engine.prepare(point(engine.name, **chosen)).run(batch)
    assert difference(answer.outputs, expected.outputs) < INT8


@ENGINES
@pytest.mark.parametrize(("kernel", "stride"), [((2, 1), (2, 2)), ((3, 3), (2, 2)), ((2, 2), (3, 3))])
def test_windows_that_reach_over_the_edge_are_averaged_right_or_refused(
    opened: Open, kernel: tuple[int, int], stride: tuple[int, int]
) -> None:
    call = Drawn((X, kernel, stride, (0, 0), True))
    network = network_around(call, "aten.avg_pool2d.default", IMAGE, "aten.relu.default", np.random.default_rng(1))
    batch = batch_for(network)
    expected = EagerEngine(network).prepare(point("eager", precision=Precision.INT8)).run(batch)
    try:
        engine = opened(network)
        variant = engine.prepare(point(engine.name, precision=Precision.INT8))
    except UnsupportedPoint as refused:
        if "sizes rounded up" not in str(refused):
            raise
        return
    assert difference(variant.run(batch).outputs, expected.outputs) < 0.1


@pytest.mark.parametrize("operator", ["aten.upsample_bilinear2d.vec", "aten.upsample_nearest2d.vec"])
@ENGINES
def test_an_axis_that_keeps_its_size_is_copied_whatever_the_factor(opened: Open, operator: str) -> None:
    corners = (False,) if "bilinear" in operator else ()
    call = Drawn((X, None, *corners, (1.0, 1.0 + 0.9 / IMAGE[2])))
    network = network_around(call, operator, IMAGE, None, np.random.default_rng(1))
    assert network.segments[1].output_shape == IMAGE
    batch = batch_for(network)
    expected = EagerEngine(network).prepare(point("eager")).run(batch)
    engine = opened(network)
    answer = engine.prepare(point(engine.name)).run(batch)
    assert difference(answer.outputs, expected.outputs) < EXACT
