"""Every knob of an operating point on engines that refuse none, against eager: stand-ins, exits, AA-ReLU."""

from collections.abc import Callable
from importlib.util import find_spec

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from random_networks import batch_for, difference, image_network, knobs, networks, point, token_network

from agent.calibration.calibrate import fitted
from agent.engines.eager import EagerEngine
from agent.engines.engine import Engine, UnsupportedPoint
from agent.models.ladder import Activation, Activity, Precision, StandIn
from agent.models.network import TrainedNetwork, blocks_of
from agent.models.sites import sites_of

EXACT = 1e-4
STEPPED = 0.03
"""AA-ReLU has steps: a value beside one falls to its other side when sums are made in another order."""
INT8 = 0.3
CHEAP = settings(max_examples=8, deadline=None)

Open = Callable[[TrainedNetwork], Engine]


def open_onnx(network: TrainedNetwork) -> Engine:
    from agent.engines.onnx.engine import OnnxEngine  # noqa: PLC0415 - an extra, which need not be installed

    return OnnxEngine(network, lambda: batch_for(network))


NO_ONNX = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs tidegate[onnx]")
ENGINES = pytest.mark.parametrize("opened", [pytest.param(open_onnx, marks=NO_ONNX)])


def with_ways(network: TrainedNetwork) -> TrainedNetwork:
    return fitted(network, batch_for(network, 24))


def middle(values: np.ndarray) -> float:
    """A threshold with as many samples above it as below, and far from all of them."""
    ordered = np.unique(values)
    if len(ordered) == 1:
        return float(ordered[0]) * 2
    gap = int(np.diff(ordered).argmax())
    return float(ordered[gap] + ordered[gap + 1]) / 2


@st.composite
def ways(draw: st.DrawFn, network: TrainedNetwork, precisions: tuple[Precision, ...]) -> dict[str, object]:
    """Skips, gates, stand-ins and exits wherever the network has them."""
    drawn = draw(knobs(network, precisions))
    layers = drawn["layer_precision"]
    activity = draw(st.sampled_from(Activity))
    skip, thresholds, stand_ins = set(), {}, {}
    batch = batch_for(network)
    scores: dict[str, np.ndarray] = {}
    EagerEngine(network).build(point("eager")).forward(
        batch, lambda block, seen: scores.__setitem__(block, seen.x.abs().flatten(1).mean(1).numpy())
    )
    for block in blocks_of(network):
        kinds = [*network.stand_ins.get(block.name, {}), *([StandIn.IDENTITY] if block.skippable else [])]
        way = draw(st.sampled_from(["run", "skip", "gate"]))
        if way == "skip":
            skip.add(block.name)
        elif way == "gate":
            halfway = middle(scores[block.name]) if activity is Activity.MEAN_ABS else 0.9
            thresholds[block.name] = draw(st.sampled_from([-1.0, halfway, 1e9]))
        if way != "run":
            stand_ins[block.name] = draw(st.sampled_from(kinds))
    exits = {block: draw(st.sampled_from([0.0, 0.21, 1.0])) for block in network.exit_heads if draw(st.booleans())}
    return {
        "skip": frozenset(skip),
        "thresholds": thresholds,
        "stand_ins": stand_ins,
        "exits": exits,
        "activity": activity,
        "precision": drawn["precision"],
        "layer_precision": layers,
    }


@st.composite
def activations(draw: st.DrawFn, network: TrainedNetwork) -> dict[str, Activation]:
    """AA-ReLU at about half of the stored values."""
    return {
        site.name: draw(
            st.sampled_from(
                [
                    Activation(threshold=0.2),
                    Activation(clip=2.0),
                    Activation(0.1, 3.0),
                    Activation(0.1, 3.0, 8),
                    Activation(clip=3.0, bits=5),
                ]
            )
        )
        for segment in network.segments
        for site in sites_of(segment)
        if draw(st.booleans())
    }


@ENGINES
@CHEAP
@given(data=st.data(), network=networks.map(with_ways))
def test_every_way_answers_as_eager_does(opened: Open, data: st.DataObject, network: TrainedNetwork) -> None:
    chosen = point("eager", **data.draw(ways(network, tuple(Precision))))
    batch = batch_for(network)
    reference, variant = EagerEngine(network).prepare(chosen), opened(network).prepare(chosen)
    # Twice, because a gate may remember the frame before.
    for inputs in (batch, batch[::-1] * np.float32(1.1)):
        expected, answer = reference.run(inputs), variant.run(inputs)
        assert difference(answer.outputs, expected.outputs) < EXACT
        assert (answer.executed_blocks, answer.skipped_blocks) == (
            expected.executed_blocks,
            expected.skipped_blocks,
        )


@ENGINES
@CHEAP
@given(data=st.data(), network=networks)
def test_aa_relu_answers_as_eager_does(opened: Open, data: st.DataObject, network: TrainedNetwork) -> None:
    chosen = point("eager", activations=data.draw(activations(network)))
    batch = batch_for(network)
    expected = EagerEngine(network).prepare(chosen).run(batch)
    assert difference(opened(network).prepare(chosen).run(batch).outputs, expected.outputs) < STEPPED


@ENGINES
@CHEAP
@given(data=st.data(), network=networks.map(with_ways))
def test_int8_and_int4_stay_near_eager_on_every_way(
    opened: Open, data: st.DataObject, network: TrainedNetwork
) -> None:
    drawn = data.draw(ways(network, (Precision.FP32, Precision.INT8, Precision.INT4)))
    # Thresholds and margins are held against values of other arithmetic: only sure ones are the same for both.
    sure = {
        **drawn,
        "thresholds": {block: -1.0 if tau < 1 else 1e9 for block, tau in drawn["thresholds"].items()},
        "exits": {block: 1.0 if margin else 0.0 for block, margin in drawn["exits"].items()},
        "activity": Activity.MEAN_ABS,
        "activations": data.draw(activations(network)),
    }
    batch = batch_for(network)
    expected = EagerEngine(network).prepare(point("eager", **sure)).run(batch)
    engine = opened(network)
    answer = engine.prepare(point(engine.name, **sure)).run(batch)
    assert (answer.executed_blocks, answer.skipped_blocks) == (expected.executed_blocks, expected.skipped_blocks)
    assert difference(answer.outputs, expected.outputs) < INT8


@ENGINES
@pytest.mark.parametrize("resolution", [(12, 12), (8, 10), (20, 24)])
def test_images_are_resized_as_eager_does(opened: Open, resolution: tuple[int, int]) -> None:
    network = with_ways(image_network(("residual", "downsample", "pool", "inverted"), 8, 4))
    chosen = point(
        "eager",
        resolution=resolution,
        skip=frozenset({"b0"}),
        stand_ins={"b0": StandIn.SURROGATE},
        exits={"b3": 0.3},
    )
    batch = batch_for(network)
    expected = EagerEngine(network).prepare(chosen).run(batch)
    answer = opened(network).prepare(chosen).run(batch)
    assert difference(answer.outputs, expected.outputs) < EXACT
    assert answer.executed_blocks == expected.executed_blocks


@ENGINES
def test_a_resolution_that_does_not_fit_is_refused(opened: Open) -> None:
    network = token_network(2, 8, 1)
    with pytest.raises(UnsupportedPoint, match="only images"):
        opened(network).prepare(point("eager", resolution=(8, 8)))
