"""Core ML packages, built on any machine: what is in them is computed with numpy and compared with eager."""

import hashlib
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
from tidegate.models.bundle import open_bundle
from tidegate.models.errors import BundleError
from tidegate.models.graph.activation_tensors import activation_tensors_of
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.ladder import Activation, Activity, OperatingPoint, Precision, StandIn
from tidegate.models.network import Network, TrainedNetwork
from tidegate.paths import profiles_directory

if find_spec("coremltools") is None:
    pytest.skip("needs tidegate[apple]", allow_module_level=True)

from tidegate.engines.coreml import package as package_module
from tidegate.engines.coreml.converters import CONVERTERS
from tidegate.engines.coreml.package import PackageError, Written, write_package, write_packages
from tidegate.engines.coreml.point_functions import formats_of
from tidegate.engines.coreml.runtime import Model_pb2
from tidegate.engines.coreml.weight_format import WeightFormat
from tidegate.engines.functions.names import name_of
from tidegate.engines.functions.pipeline import FunctionPipeline
from tidegate.engines.functions.ready_point import ready_stages
from tidegate.engines.runtime.pipeline_variant import PipelineVariant
from tidegate.models.network import blocks_of

# After the runtime, which keeps coremltools' warnings off.
from tidegate_bench.apple.mil_interpreter import InterpretedPackage  # isort: skip

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
FULL = BUNDLE.ladder.full
SPEC = Path("Data/com.apple.CoreML/model.mlmodel")
WIDE = 1e-4
"""The same arithmetic in fp32, with sums in another order."""
HALF = 0.01
"""Values in fp16."""


def interpreted(network: Network, at: OperatingPoint, written: Written, batch: Array) -> Answer:
    opened = InterpretedPackage(written.path).opened
    wide = written.weight_format.is_wide
    pipeline = FunctionPipeline(ready_stages(network, at, opened), at.activity, written.weights_bytes, wide)
    return PipelineVariant(at, pipeline, len(blocks_of(network))).run(batch)


def built(network: Network, at: OperatingPoint, weight_format: WeightFormat, directory: Path) -> Written:
    count = len(list(directory.iterdir()))
    return write_package(network, [at], weight_format, directory / f"{count}.mlpackage")


IMAGES = image_network(("residual", "inverted", "excited", "downsample", "pool", "twice_read", "activated"), 8, 3)
TOKENS = token_network(2, 32, 3)


@pytest.mark.parametrize("network", [IMAGES, TOKENS], ids=["images", "tokens"])
@pytest.mark.parametrize(
    ("weight_format", "knobs"),
    [
        (WeightFormat.FP32, {}),
        (WeightFormat.FP16, {}),
        (WeightFormat.FP32, {"precision": Precision.INT4}),
        (WeightFormat.INT8, {"precision": Precision.INT8}),
        (WeightFormat.INT8, {"precision": Precision.INT4}),
        (WeightFormat.INT4, {"precision": Precision.INT4}),
        (WeightFormat.FP32, {"thresholds": {"b0": 0.7, "b1": 0.6}, "exits": {"b1": 0.4}}),
        (WeightFormat.FP16, {"thresholds": {"b0": -1.0, "b1": 1e4}, "activity": Activity.RMS}),
        (WeightFormat.FP32, {"thresholds": {"b0": 0.7, "b1": 0.6}, "activity": Activity.FRAME_CHANGE}),
        (WeightFormat.FP32, {"skip": frozenset({"b1"}), "stand_ins": {"b1": StandIn.SURROGATE}}),
    ],
)
def test_what_is_in_a_package_answers_as_eager_does(
    network: TrainedNetwork, weight_format: WeightFormat, knobs: dict[str, object], tmp_path: Path
) -> None:
    at, batch = point("eager", **knobs), batch_for(network)
    expected = EagerEngine(network).prepare(at).run(batch)
    found = interpreted(network, at, built(network, at, weight_format, tmp_path), batch)
    assert difference(found.outputs, expected.outputs) < (WIDE if weight_format.is_wide else HALF)
    assert found.executed_blocks == expected.executed_blocks
    assert found.skipped_blocks == expected.skipped_blocks


GENERATED = settings(
    max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)


@GENERATED
@given(data=st.data(), network=networks)
def test_every_knob_of_random_points_does_what_it_does_on_eager(
    data: st.DataObject, network: TrainedNetwork, tmp_path_factory: pytest.TempPathFactory
) -> None:
    drawn = data.draw(all_knobs(network, tuple(Precision)))
    # AA-ReLU is compared below: a value at its threshold goes where the order of a sum sends it.
    at, batch = point("eager", **{**drawn, "activations": {}}), batch_for(network)
    expected = EagerEngine(network).prepare(at).run(batch)
    written = built(network, at, WeightFormat.FP32, tmp_path_factory.mktemp("packages"))
    found = interpreted(network, at, written, batch)
    assert difference(found.outputs, expected.outputs) < WIDE
    assert found.executed_blocks == expected.executed_blocks


@pytest.mark.parametrize(("operator", "shape"), CALLS, ids=[f"{c[0]}-{len(c[1])}d" for c in CALLS])
@settings(GENERATED, max_examples=1)
@given(data=st.data())
def test_every_operator_is_written_right_or_refused(
    data: st.DataObject, operator: str, shape: tuple[int, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        network = data.draw(operator_networks(operator, shape))
    except (BundleError, RuntimeError, ValueError):
        return
    at, batch = point("eager"), batch_for(network, 2)
    try:
        written = built(network, at, WeightFormat.FP32, tmp_path_factory.mktemp("packages"))
    except UnsupportedPoint as error:
        if f"{operator}: " not in str(error):
            raise
        return
    expected = EagerEngine(network).prepare(at).run(batch)
    assert difference(interpreted(network, at, written, batch).outputs, expected.outputs) < WIDE


@pytest.mark.parametrize(
    "setting", [Activation(0.1), Activation(clip=2.0), Activation(0.05, 3.0, 6), Activation(0.02, 4.0, 8)]
)
def test_aa_relu_acts_where_it_does_on_eager(setting: Activation, tmp_path: Path) -> None:
    network = image_network(("residual",), 8, 3)
    (tensor, *_) = (each for each in activation_tensors_of(network.segments[1]) if each.is_activation)
    at, batch = point("eager", activations={tensor.name: setting}), batch_for(network, 2)
    expected = EagerEngine(network).prepare(at).run(batch)
    plain = EagerEngine(network).prepare(point("eager")).run(batch)
    found = interpreted(network, at, built(network, at, WeightFormat.FP32, tmp_path), batch)
    off = difference(found.outputs, expected.outputs)
    assert off < min(0.02, difference(plain.outputs, expected.outputs) / 2)


def test_every_operator_of_the_table_has_a_converter() -> None:
    assert CONVERTERS.keys() == OPERATORS.keys()


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[WeightFormat, Written]:
    written = write_packages(BUNDLE, BUNDLE.ladder.points, tmp_path_factory.mktemp("shipped"))
    return {each.weight_format: each for each in written}


@pytest.mark.slow
def test_every_point_of_the_shipped_bundle_has_functions_in_all_its_formats(
    shipped: dict[WeightFormat, Written],
) -> None:
    for each in BUNDLE.ladder.points:
        for weight_format in formats_of(each, BUNDLE):
            assert each.name in shipped[weight_format].functions
    assert all(not each.refused for each in shipped.values())


def test_the_shipped_full_point_answers_the_samples_as_eager_does(tmp_path: Path) -> None:
    inputs = BUNDLE.samples().inputs()[:40]
    expected = EagerEngine(BUNDLE).prepare(FULL).run(inputs).outputs.argmax(1)
    for weight_format, least in ((WeightFormat.FP32, 1.0), (WeightFormat.FP16, 0.995)):
        found = interpreted(BUNDLE, FULL, built(BUNDLE, FULL, weight_format, tmp_path), inputs).outputs.argmax(1)
        assert (found == expected).mean() >= least


def test_a_point_in_8_bits_answers_its_canaries(tmp_path: Path) -> None:
    canaries, each = BUNDLE.canaries(), BUNDLE.ladder.points[1]
    written = built(BUNDLE, each, WeightFormat.W8A8, tmp_path)
    assert canaries.agreement(each.name, interpreted(BUNDLE, each, written, canaries.inputs).outputs) == 1


@pytest.mark.slow
def test_all_points_in_8_bits_answer_their_canaries(shipped: dict[WeightFormat, Written]) -> None:
    canaries = BUNDLE.canaries()
    for each in BUNDLE.ladder.points[1:]:
        outputs = interpreted(BUNDLE, each, shipped[WeightFormat.W8A8], canaries.inputs).outputs
        assert canaries.agreement(each.name, outputs) == 1


def test_points_share_their_weights(tmp_path: Path) -> None:
    skipped = [point("eager", skip=frozenset({f"b{n}"})) for n in (0, 1, 5)]
    points = [
        point("eager"),
        *(OperatingPoint(f"p{n}", "eager", each.figures, skip=each.skip) for n, each in enumerate(skipped)),
    ]
    for weight_format in (WeightFormat.FP16, WeightFormat.INT8):
        one = write_package(IMAGES, points[:1], weight_format, tmp_path / f"one-{weight_format}.mlpackage")
        all_ = write_package(IMAGES, points, weight_format, tmp_path / f"all-{weight_format}.mlpackage")
        assert all_.weights_bytes <= 1.05 * one.weights_bytes


def digest(package: Path) -> dict[str, str]:
    return {
        str(file.relative_to(package)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(package.rglob("*"))
        if file.is_file()
    }


@pytest.mark.slow
def test_another_process_writes_the_same_bytes_and_a_services_user_can_read_them(
    shipped: dict[WeightFormat, Written], tmp_path: Path
) -> None:
    again = tmp_path / "again"
    command = [sys.executable, "-m", "tidegate", "bundle", "coreml", str(BUNDLE.path), "--out", str(again)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "not run on hardware yet" in done.stdout
    assert done.stderr == ""
    for each in shipped.values():
        assert digest(each.path) == digest(again / each.path.name)
        for path in each.path.rglob("*"):
            assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 65
    assert "exists already" in refused.stderr


def test_two_builds_are_the_same_bytes_that_a_services_user_can_read(tmp_path: Path) -> None:
    first, second = (built(TOKENS, point("eager"), WeightFormat.FP16, tmp_path) for _ in range(2))
    assert digest(first.path) == digest(second.path)
    assert {path.stat().st_mode & 0o777 for path in first.path.rglob("*")} == {0o755, 0o644}


@pytest.mark.parametrize("change", ["groups", "function", "type"])
def test_a_package_that_holds_something_else_is_no_package(
    change: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = package_module._save

    def tampered(functions: object, weight_format: WeightFormat, draft: Path) -> None:
        write(functions, weight_format, draft)
        spec = Model_pb2.Model()
        spec.ParseFromString((draft / SPEC).read_bytes())
        if change == "function":
            del spec.description.functions[0]
        elif change == "type":
            spec.description.functions[0].input[0].type.multiArrayType.dataType = 65568
        else:
            (block,) = spec.mlProgram.functions["p_p"].block_specializations.values()
            depthwise = next(o for o in block.operations if o.type == "conv" and "conv2d_2" in o.outputs[0].name)
            depthwise.outputs[0].type.tensorType.dimensions[1].constant.size *= 2
        (draft / SPEC).write_bytes(spec.SerializeToString(deterministic=True))

    monkeypatch.setattr(package_module, "_save", tampered)
    with pytest.raises(PackageError, match=r"asked for were|takes another type"):
        write_package(IMAGES, [point("eager")], WeightFormat.FP16, tmp_path / "a.mlpackage")


def test_names_of_functions_are_what_core_ml_allows() -> None:
    assert name_of("int8-skip.88 b", 3, "stand_in") == "p_int8_skip_88_b_3_stand_in"
    assert len({name_of(each.name) for each in BUNDLE.ladder.points}) == len(BUNDLE.ladder.points)


def test_what_no_point_can_have_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedPoint, match=r"fp16: no operating point has a form: .*are not blocks"):
        write_package(
            IMAGES, [point("eager", skip=frozenset({"nope"}))], WeightFormat.FP16, tmp_path / "a.mlpackage"
        )
    assert not list(tmp_path.iterdir())


def test_scores_of_large_values_fit_into_16_bits(tmp_path: Path) -> None:
    at = point("eager", thresholds={"b0": 1e6}, activity=Activity.RMS)
    written = built(IMAGES, at, WeightFormat.FP16, tmp_path)
    (first, *_) = ready_stages(IMAGES, at, InterpretedPackage(written.path).opened)
    given = np.full((1, *IMAGES.segments[0].input_shape), 3000, np.float16)
    found = first.function.predict({"x": given})
    assert np.isfinite(found["score"]).all()
