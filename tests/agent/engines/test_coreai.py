"""The coreai engine, executed by Core AI's reference executor on Linux, against eager."""

import asyncio
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from random_networks import all_knobs, batch_for, difference, image_network, networks, point, token_network
from random_operators import CALLS, operator_networks

from tidegate.engines.engine import Answer, Array, UnsupportedPoint
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.runtime.agreement import tolerance_of
from tidegate.engines.runtime.installed import installed_engines
from tidegate.engines.runtime.placement import CPU, placement_of
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
from tidegate.models.errors import BundleError
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.ladder import Activation, Activity, OperatingPoint, Precision, StandIn
from tidegate.models.network import Network, TrainedNetwork
from tidegate.paths import profiles_directory

if find_spec("coreai") is None:
    pytest.skip("needs tidegate[coreai]", allow_module_level=True)

from tidegate.engines.coreai.asset import AssetError, write_asset
from tidegate.engines.coreai.converters import CONVERTERS
from tidegate.engines.coreai.engine import CoreAiEngine
from tidegate.engines.coreai.graph_builder import Dtype
from tidegate.engines.coreai.loaded_asset import LoadedAsset

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
WIDE = 1e-4
"""The same arithmetic in fp32, with sums in another order."""
HALF = tolerance_of("coreai")
IMAGES = image_network(("residual", "inverted", "excited", "downsample", "pool", "twice_read", "activated"), 8, 3)
TOKENS = token_network(2, 32, 3)


def executed(network: Network, at: OperatingPoint, batch: Array, dtype: Dtype = np.float32) -> Answer:
    return CoreAiEngine(network, [at], dtype).prepare(at).run(batch)


@pytest.mark.parametrize("network", [IMAGES, TOKENS], ids=["images", "tokens"])
@pytest.mark.parametrize(
    ("dtype", "knobs"),
    [
        (np.float32, {}),
        (np.float16, {}),
        (np.float32, {"precision": Precision.INT4}),
        (np.float16, {"precision": Precision.INT8}),
        (np.float32, {"thresholds": {"b0": 0.7, "b1": 0.6}, "exits": {"b1": 0.4}}),
        (np.float32, {"thresholds": {"b0": 0.7, "b1": 0.6}, "activity": Activity.MAX}),
        (np.float32, {"thresholds": {"b0": 0.7, "b1": 0.6}, "activity": Activity.SPARSITY}),
        (np.float16, {"thresholds": {"b0": -1.0, "b1": 1e4}, "activity": Activity.RMS}),
        (np.float32, {"thresholds": {"b0": 0.7, "b1": 0.6}, "activity": Activity.FRAME_CHANGE}),
        (np.float32, {"thresholds": {"b0": 0.7, "b1": 0.6}, "activity": Activity.BLOCK_CHANGE}),
        (np.float32, {"skip": frozenset({"b1"}), "stand_ins": {"b1": StandIn.SURROGATE}}),
    ],
)
def test_a_point_answers_as_on_eager(network: TrainedNetwork, dtype: Dtype, knobs: dict[str, object]) -> None:
    at, batch = point("eager", **knobs), batch_for(network)
    expected = EagerEngine(network).prepare(at).run(batch)
    found = executed(network, at, batch, dtype)
    assert difference(found.outputs, expected.outputs) < (WIDE if dtype is np.float32 else HALF)
    assert found.executed_blocks == expected.executed_blocks
    assert found.skipped_blocks == expected.skipped_blocks


def test_a_point_is_opened_and_answers_within_an_event_loop_as_without() -> None:
    at, batch = point("eager"), batch_for(IMAGES)
    engine = CoreAiEngine(IMAGES, [at], np.float32)
    outside = engine.prepare(at)

    async def within() -> tuple[Array, Array]:
        inside = CoreAiEngine(IMAGES, [at], np.float32).prepare(at)
        return inside.run(batch).outputs, outside.run(batch).outputs

    opened_here, opened_before = asyncio.run(within())
    expected = outside.run(batch).outputs
    assert np.array_equal(opened_here, expected)
    assert np.array_equal(opened_before, expected)


GENERATED = settings(
    max_examples=6, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)


@GENERATED
@given(data=st.data(), network=networks)
def test_every_knob_of_random_points_does_what_it_does_on_eager(
    data: st.DataObject, network: TrainedNetwork
) -> None:
    drawn = data.draw(all_knobs(network, tuple(Precision)))
    # AA-ReLU is compared below: a value at its threshold goes where the order of a sum sends it.
    at, batch = point("eager", **{**drawn, "activations": {}}), batch_for(network)
    expected = EagerEngine(network).prepare(at).run(batch)
    found = executed(network, at, batch)
    assert difference(found.outputs, expected.outputs) < WIDE
    assert found.executed_blocks == expected.executed_blocks


@pytest.mark.parametrize(("operator", "shape"), CALLS, ids=[f"{c[0]}-{len(c[1])}d" for c in CALLS])
@settings(GENERATED, max_examples=1)
@given(data=st.data())
def test_every_operator_is_right_or_refused(data: st.DataObject, operator: str, shape: tuple[int, ...]) -> None:
    try:
        network = data.draw(operator_networks(operator, shape))
    except (BundleError, RuntimeError, ValueError):
        return
    at, batch = point("eager"), batch_for(network, 2)
    expected = EagerEngine(network).prepare(at).run(batch)
    try:
        found = executed(network, at, batch)
    except UnsupportedPoint as error:
        if f"{operator}: " not in str(error):
            raise
        return
    assert difference(found.outputs, expected.outputs) < WIDE


@pytest.mark.parametrize(
    "setting", [Activation(0.1), Activation(clip=2.0), Activation(0.05, 3.0, 6), Activation(0.02, 4.0, 8)]
)
def test_aa_relu_acts_where_it_does_on_eager(setting: Activation) -> None:
    network = image_network(("residual",), 8, 3)
    (tensor, *_) = (each for each in activation_tensors_of(network.segments[1]) if each.is_activation)
    at, batch = point("eager", activations={tensor.name: setting}), batch_for(network, 2)
    expected = EagerEngine(network).prepare(at).run(batch)
    plain = EagerEngine(network).prepare(point("eager")).run(batch)
    off = difference(executed(network, at, batch).outputs, expected.outputs)
    assert off < min(0.02, difference(plain.outputs, expected.outputs) / 2)


def test_every_operator_of_the_table_has_a_converter() -> None:
    assert CONVERTERS.keys() == OPERATORS.keys()


def test_every_point_of_the_shipped_bundle_that_has_the_references_arithmetic_answers_its_canaries() -> None:
    engine = open_engine("coreai", BUNDLE)
    canaries = BUNDLE.canaries()
    own = [each for each in BUNDLE.ladder.points if each.engine == "eager"]
    assert own
    for each in own:
        assert canaries.agreement(each.name, engine.prepare(each).run(canaries.inputs).outputs) == 1


@pytest.mark.parametrize(("dtype", "least"), [(np.float32, 1.0), (np.float16, 0.995)])
def test_the_shipped_full_point_answers_the_samples_as_eager_does(dtype: Dtype, least: float) -> None:
    full, inputs = BUNDLE.ladder.full, BUNDLE.samples().inputs()[:30]
    expected = EagerEngine(BUNDLE).prepare(full).run(inputs).outputs.argmax(1)
    assert (executed(BUNDLE, full, inputs, dtype).outputs.argmax(1) == expected).mean() >= least


def test_points_share_their_weights(tmp_path: Path) -> None:
    full = BUNDLE.ladder.full
    blocks = [segment.name for segment in BUNDLE.segments if segment.skippable]
    fewer = [OperatingPoint(f"p{n}", "eager", full.figures, skip=frozenset(blocks[-n:])) for n in range(1, 4)]
    one = write_asset(BUNDLE, [full], np.float32, tmp_path / "one.aimodel")
    every = write_asset(BUNDLE, [full, *fewer], np.float32, tmp_path / "all.aimodel")
    assert one.weights_bytes <= every.weights_bytes <= 1.05 * one.weights_bytes


def test_weights_in_8_bits_take_a_quarter(tmp_path: Path) -> None:
    wide = write_asset(BUNDLE, [BUNDLE.ladder.full], np.float32, tmp_path / "fp32.aimodel")
    narrow = write_asset(BUNDLE, [point("eager", precision=Precision.INT8)], np.float32, tmp_path / "int8.aimodel")
    assert narrow.weights_bytes < 0.27 * wide.weights_bytes


def test_an_asset_that_holds_something_else_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidegate.engines.coreai import asset  # noqa: PLC0415 - to change it

    monkeypatch.setattr(
        asset, "_module", lambda network, functions, dtype, make=asset._module: make(network, functions[:1], dtype)
    )
    points = [point("eager"), OperatingPoint("b", "eager", point("eager").figures, skip=frozenset({"b1"}))]
    with pytest.raises(AssetError, match="asked for were"):
        write_asset(TOKENS, points, np.float32, tmp_path / "a.aimodel")


def test_what_core_ai_refuses_is_said_in_one_line(tmp_path: Path) -> None:
    write_asset(TOKENS, [point("eager")], np.float32, tmp_path / "a.aimodel")
    loaded = LoadedAsset(tmp_path / "a.aimodel")
    with pytest.raises(UnsupportedPoint, match="refuses function missing: ") as refused:
        loaded.opened("missing")
    assert "\n" not in str(refused.value)
    (tmp_path / "b.aimodel").mkdir()
    with pytest.raises(UnsupportedPoint, match=r"refuses b\.aimodel"):
        LoadedAsset(tmp_path / "b.aimodel")


def test_another_point_than_those_it_was_opened_for_is_refused() -> None:
    engine = CoreAiEngine(TOKENS, [point("eager")])
    with pytest.raises(UnsupportedPoint, match="not among the points"):
        engine.prepare(point("eager", precision=Precision.INT8))


@pytest.mark.skipif(sys.platform == "darwin", reason="there it may serve")
def test_auto_leaves_core_ai_out_where_it_is_a_proof_only() -> None:
    assert "coreai" not in installed_engines()
    assert placement_of("coreai").unit == CPU


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its temporary files are of the executor there")
def test_nothing_is_left_behind_and_no_torch_is_loaded(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from tidegate.engines.runtime.registry import open_engine\n"
        "from tidegate.models.bundle import open_bundle\n"
        f"bundle = open_bundle(__import__('pathlib').Path({str(BUNDLE.path)!r}))\n"
        "engine = open_engine('coreai', bundle)\n"
        "engine.prepare(bundle.ladder.full).run(bundle.canaries().inputs[:1])\n"
        "assert 'torch' not in sys.modules\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []
