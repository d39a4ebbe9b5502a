"""onnx against eager: random networks at random points, within the bounds that docs/engines.md says."""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from random_networks import (
    all_knobs,
    batch_for,
    difference,
    image_network,
    image_networks,
    knobs,
    networks,
    point,
    token_network,
)
from ranged_engine import RangedEngine

from tidegate.engines.engine import Answer, Engine, UnsupportedPoint
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.gates.activity import mean_abs
from tidegate.models.ladder import Activation, Activity, Precision, StandIn
from tidegate.models.network import TrainedNetwork

EXACT = 1e-4
"""Same arithmetic, sums in another order."""
NEAR_A_THRESHOLD = 0.05
"""What one value that AA-ReLU keeps here and cuts there may make of an answer."""
INT8 = 0.25
"""A random net is the worst case: nothing in its training has made it robust to rounding, and logits cancel."""

Open = Callable[[TrainedNetwork], Engine]


def open_onnx(network: TrainedNetwork) -> Engine:
    from tidegate.engines.onnxruntime.engine import OnnxEngine  # noqa: PLC0415 - an extra, which need not be installed

    return RangedEngine(OnnxEngine(network), network, lambda: batch_for(network))


def open_litert(network: TrainedNetwork) -> Engine:
    from tidegate.engines.litert.engine import LiteRtEngine  # noqa: PLC0415 - an extra

    return RangedEngine(LiteRtEngine(network), network, lambda: batch_for(network))


def open_mlx(network: TrainedNetwork) -> Engine:
    from tidegate.engines.mlx.engine import MlxEngine  # noqa: PLC0415 - an extra

    return MlxEngine(network)


NO_MLX = pytest.mark.skipif(find_spec("mlx") is None, reason="needs tidegate[apple]")
NO_LITERT = pytest.mark.skipif(find_spec("ai_edge_litert") is None, reason="needs tidegate[litert]")
NO_ONNX = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs tidegate[onnx]")
ENGINES = pytest.mark.parametrize(
    "opened",
    [
        pytest.param(open_onnx, marks=NO_ONNX),
        pytest.param(open_litert, marks=NO_LITERT),
        pytest.param(open_mlx, marks=NO_MLX),
    ],
)
INSTALLED: dict[str, Open] = {
    name: opened
    for name, opened, module in (
        ("onnx", open_onnx, "onnxruntime"),
        ("litert", open_litert, "ai_edge_litert"),
        ("mlx", open_mlx, "mlx"),
    )
    if find_spec(module) is not None
}
"""To compare several with one run of eager; tests of ENGINES say which of them are missing."""
CHEAP = settings(max_examples=25, deadline=None)


@CHEAP
@given(data=st.data(), network=networks)
def test_a_point_certified_on_eager_answers_as_eager_does(data: st.DataObject, network: TrainedNetwork) -> None:
    chosen = point("eager", **data.draw(knobs(network, (Precision.FP32, Precision.BF16, Precision.INT8))))
    batch = batch_for(network)
    expected = EagerEngine(network).prepare(chosen).run(batch)
    for name, opened in INSTALLED.items():
        answer = opened(network).prepare(chosen).run(batch)
        assert difference(answer.outputs, expected.outputs) < EXACT, name
        assert blocks_of(answer) == blocks_of(expected), name


@settings(max_examples=20, deadline=None)
@given(data=st.data(), network=networks)
def test_every_knob_of_a_point_certified_on_eager_does_what_it_does_there(
    data: st.DataObject, network: TrainedNetwork
) -> None:
    chosen = point("eager", **data.draw(all_knobs(network, tuple(Precision))))
    batch = batch_for(network)
    expected = EagerEngine(network).prepare(chosen).run(batch)
    for name, opened in INSTALLED.items():
        answer = opened(network).prepare(chosen).run(batch)
        off = [
            difference(*pair, np.abs(expected.outputs).max())
            for pair in zip(answer.outputs, expected.outputs, strict=True)
        ]
        # With AA-ReLU a value may lie so near a threshold that the order of a sum decides: hardly two in a batch.
        assert sorted(off)[-2 if chosen.activations else -1] < EXACT, name
        assert max(off) < NEAR_A_THRESHOLD, name
        assert blocks_of(answer) == blocks_of(expected), name


@settings(max_examples=15, deadline=None)
@given(data=st.data(), network=networks)
def test_every_knob_in_int8_stays_near_eager(data: st.DataObject, network: TrainedNetwork) -> None:
    drawn = data.draw(all_knobs(network, (Precision.FP32, Precision.INT8, Precision.INT4)))
    batch = batch_for(network)
    expected = EagerEngine(network).prepare(point("eager", **drawn)).run(batch)
    for name, opened in INSTALLED.items():
        answer = opened(network).prepare(point(name, **drawn)).run(batch)
        assert difference(answer.outputs, expected.outputs) < INT8, name
        assert blocks_of(answer) == blocks_of(expected), name


@ENGINES
@pytest.mark.parametrize("activity", [Activity.BLOCK_CHANGE, Activity.FRAME_CHANGE])
@pytest.mark.parametrize("narrow", [("b1",), ("stem", "b1"), ("b0", "b1"), ("stem", "b0", "b1", "head")])
def test_gates_that_look_back_may_stand_between_codes(
    opened: Open, activity: Activity, narrow: tuple[str, ...]
) -> None:
    network = image_network(("residual", "residual"), 8, 0)
    layers = [layer for segment in network.segments if segment.name in narrow for layer in segment.layers]
    drawn = {
        "activity": activity,
        "thresholds": {"b0": -1.0, "b1": -1.0},
        "layer_precision": dict.fromkeys(layers, Precision.INT8),
    }
    engine = opened(network)
    variant = engine.prepare(point(engine.name, **drawn))
    expected = EagerEngine(network).prepare(point("eager", **drawn)).run(batch_for(network))
    for _ in range(2):
        answer = variant.run(batch_for(network))
        assert difference(answer.outputs, expected.outputs) < INT8
        assert answer.executed_blocks == expected.executed_blocks


@CHEAP
@given(data=st.data(), network=networks)
def test_int8_stays_near_eager(data: st.DataObject, network: TrainedNetwork) -> None:
    drawn = data.draw(knobs(network, (Precision.FP32, Precision.INT8)))
    batch = batch_for(network)
    plain = {**drawn, "precision": Precision.FP32, "layer_precision": {}}
    expected = EagerEngine(network).prepare(point("eager", **plain)).run(batch)
    for name, opened in INSTALLED.items():
        answer = opened(network).prepare(point(name, **drawn)).run(batch)
        assert difference(answer.outputs, expected.outputs) < INT8, name
        assert blocks_of(answer) == blocks_of(expected), name


@settings(max_examples=10, deadline=None)
@given(network=image_networks, precision=st.sampled_from([Precision.FP32, Precision.INT8]))
def test_gates_decide_per_sample_whatever_the_batch(network: TrainedNetwork, precision: Precision) -> None:
    batch = batch_for(network)
    thresholds = splitting(network, batch)
    for name, opened in INSTALLED.items():
        variant = opened(network).prepare(point(name, thresholds=thresholds, precision=precision))
        together = variant.run(batch)
        alone = [variant.run(batch[i : i + 1]) for i in range(len(batch))]
        assert together.executed_blocks == sum(answer.executed_blocks for answer in alone), name
        assert difference(np.concatenate([answer.outputs for answer in alone]), together.outputs) < 0.01, name


@ENGINES
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_every_sample_goes_its_own_way_in_a_batch(opened: Open, precision: Precision) -> None:
    """Stand-ins that change shape, identity and surrogate; some samples leave early, at either exit."""
    network = image_network(("residual", "downsample", "inverted", "residual"), 8, 3)
    batch = batch_for(network, 12)
    chosen = {
        "thresholds": splitting(network, batch, StandIn.SHORTCUT),
        "stand_ins": {"b1": StandIn.SHORTCUT, "b2": StandIn.SURROGATE},
        "exits": {"b1": 0.55, "b3": 0.5},
    }
    reference = EagerEngine(network)
    expected = reference.prepare(point("eager", **chosen)).run(batch)
    without_exits = reference.prepare(point("eager", **{**chosen, "exits": {}})).run(batch)
    left = (without_exits.outputs != expected.outputs).any(1).sum()
    assert 0 < left < len(batch), "or this test shows nothing"
    engine = opened(network)
    certified_on = engine.name if precision is Precision.INT8 else "eager"
    variant = engine.prepare(point(certified_on, precision=precision, **chosen))
    together = variant.run(batch)
    alone = [variant.run(sample[None]) for sample in batch]
    assert difference(np.concatenate([answer.outputs for answer in alone]), together.outputs) < EXACT
    assert together.executed_blocks == sum(answer.executed_blocks for answer in alone)
    assert together.executed_blocks + together.skipped_blocks == len(batch) * 4
    if precision is Precision.FP32:
        assert difference(together.outputs, expected.outputs) < EXACT
        assert together.executed_blocks == expected.executed_blocks


@ENGINES
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_an_answer_stays_what_it_was_when_others_come(opened: Open, precision: Precision) -> None:
    """Samples that leave early and late, one by one, between others; arrays are kept from answer to answer."""
    network = image_network(("residual", "downsample", "inverted", "residual"), 8, 3)
    batch = batch_for(network, 12)
    exits = {"b1": 0.55, "b3": 0.5}
    engine = opened(network)
    certified_on = engine.name if precision is Precision.INT8 else "eager"
    variant, other = (engine.prepare(point(certified_on, precision=precision, exits=exits)) for _ in range(2))
    together = variant.run(batch)
    assert 0 < together.skipped_blocks < 3 * len(batch), "or this test shows nothing"
    alone = [variant.run(sample[None]) for sample in batch]
    between = []
    for sample, another in zip(batch, batch[::-1], strict=True):
        between.append(variant.run(sample[None]))
        other.run(another[None])
    for answers in (alone, between):
        assert difference(np.concatenate([answer.outputs for answer in answers]), together.outputs) < EXACT
        assert sum(answer.executed_blocks for answer in answers) == together.executed_blocks


@ENGINES
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.INT8])
def test_an_exit_may_lead_to_the_head_of_the_network(opened: Open, precision: Precision) -> None:
    whole = token_network(2, 8, 5)
    network = replace(whole, exit_heads={"b0": whole.segments[-1], "b1": whole.segments[-1]})
    batch = batch_for(network, 12)
    exits = {"b0": 0.9, "b1": 0.6}
    expected = EagerEngine(network).prepare(point("eager", exits=exits)).run(batch)
    assert 0 < expected.skipped_blocks < 2 * len(batch), "or this test shows nothing"
    engine = opened(network)
    variant = engine.prepare(point("eager" if precision is Precision.FP32 else engine.name, exits=exits))
    assert difference(variant.run(batch).outputs, expected.outputs) < EXACT
    small = engine.prepare(point(engine.name, exits={"b1": 2.0}, precision=precision)).run(batch)
    full = EagerEngine(network).prepare(point("eager")).run(batch)
    assert difference(small.outputs, full.outputs) < (EXACT if precision is Precision.FP32 else INT8)


@ENGINES
def test_the_networks_input_may_be_carried_past_an_exit_as_codes(opened: Open) -> None:
    network = token_network(2, 8, 5)
    chosen = {
        "skip": {"b0", "b1"},
        "stand_ins": {"b1": StandIn.SURROGATE},
        "exits": {"b1": 2.0},
        "precision": Precision.INT8,
    }
    batch = batch_for(network)
    engine = opened(network)
    answer = engine.prepare(point(engine.name, **chosen)).run(batch)
    expected = EagerEngine(network).prepare(point("eager", **chosen)).run(batch)
    assert difference(answer.outputs, expected.outputs) < INT8


@ENGINES
def test_a_resolution_that_does_not_fit_is_refused(opened: Open) -> None:
    with pytest.raises(UnsupportedPoint, match="only images"):
        opened(token_network(2, 8, 1)).prepare(point("eager", resolution=(8, 8)))


def blocks_of(answer: Answer) -> tuple[int, int]:
    """Executed and skipped."""
    return answer.executed_blocks, answer.skipped_blocks


def splitting(network: TrainedNetwork, batch: np.ndarray, *more: StandIn) -> dict[str, float]:
    """Thresholds that open the gates of blocks with identity, or one of `more`, for all samples but two or so."""
    scores = {}
    EagerEngine(network).build(point("eager")).forward(
        batch, lambda block, seen: scores.__setitem__(block, mean_abs(seen.x).numpy())
    )
    gated = {segment.name for segment in network.segments if segment.skippable} | {
        block for block, kinds in network.stand_ins.items() if kinds.keys() & set(more)
    }
    return {block: float(np.sort(scores[block])[1:3].mean()) for block in gated}


@ENGINES
def test_gates_of_these_tests_open_for_some_and_not_for_others(opened: Open) -> None:
    network = image_network(("residual", "inverted", "residual"), 8, 3)
    batch = batch_for(network)
    thresholds = splitting(network, batch)
    answer = opened(network).prepare(point("eager", thresholds=thresholds)).run(batch)
    expected = EagerEngine(network).prepare(point("eager", thresholds=thresholds)).run(batch)
    assert 0 < answer.skipped_blocks < 3 * len(batch)
    assert answer.executed_blocks == expected.executed_blocks
    assert difference(answer.outputs, expected.outputs) < EXACT


@ENGINES
@pytest.mark.parametrize("network", [image_network(("residual", "twice_read"), 8, 1), token_network(2, 8, 1)])
def test_full_is_bit_identical_after_any_history(opened: Open, network: TrainedNetwork) -> None:
    engine = opened(network)
    batch = batch_for(network)
    full = engine.prepare(point(engine.name))
    first = full.run(batch).outputs.tobytes()
    for precision in (Precision.INT8, Precision.FP32):
        for skip in ({"b0"}, {"b1"}, set()):
            other = engine.prepare(point(engine.name, precision=precision, skip=frozenset(skip)))
            before = other.run(batch).outputs.tobytes()
            assert full.run(batch).outputs.tobytes() == first
            assert other.run(batch).outputs.tobytes() == before
            other.release()
            assert engine.prepare(point(engine.name)).run(batch).outputs.tobytes() == first


@ENGINES
def test_no_knob_leaves_a_trace_in_the_full_point(opened: Open) -> None:
    network = image_network(("residual", "downsample", "twice_read"), 8, 1)
    engine = opened(network)
    batch = batch_for(network)
    full = engine.prepare(point(engine.name))
    first = full.run(batch).outputs.tobytes()
    for knobs_of_one in (
        {"skip": frozenset({"b0", "b1"}), "stand_ins": {"b0": StandIn.AFFINE, "b1": StandIn.SHORTCUT}},
        {"exits": {"b1": 0.3}, "precision": Precision.INT4},
        {"activations": {"b0.relu_1": Activation(0.1, 2.0, 4)}, "precision": Precision.INT8},
        {"activations": {"b2.relu_1": Activation(0.1)}, "thresholds": {"b2": 0.5}, "activity": Activity.RMS},
        {"resolution": (9, 9)},
    ):
        other = engine.prepare(point(engine.name, **knobs_of_one))
        before = other.run(batch).outputs.tobytes()
        assert full.run(batch).outputs.tobytes() == first
        assert other.run(batch).outputs.tobytes() == before
        other.release()
        assert engine.prepare(point(engine.name)).run(batch).outputs.tobytes() == first


@ENGINES
def test_the_batch_is_left_alone(opened: Open) -> None:
    network = token_network(2, 8, 2)
    batch = batch_for(network)
    before = batch.copy()
    engine = opened(network)
    for precision in (Precision.FP32, Precision.INT8):
        engine.prepare(point(engine.name, precision=precision)).run(batch)
        assert np.array_equal(batch, before)


@ENGINES
def test_int8_weights_take_about_a_quarter(opened: Open) -> None:
    network = image_network(("residual",) * 4, 64, 1)
    engine = opened(network)
    full, small = (
        engine.prepare(point(engine.name, precision=each)).weights_resident_bytes
        for each in (Precision.FP32, Precision.INT8)
    )
    assert small < 0.27 * full
