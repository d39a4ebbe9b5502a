"""The coreml engine's calls against a strict fake of Core ML: not run on hardware yet."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from random_networks import batch_for, difference, image_network, point

from tidegate.cli.checks import placement
from tidegate.cli.checks.placement import check_placement
from tidegate.engines.engine import UnsupportedPoint
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.runtime import apple_silicon, device
from tidegate.engines.runtime.agreement import tolerance_of
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.installed import UnknownEngine, installed_engines
from tidegate.engines.runtime.network_cache import NetworkCache
from tidegate.engines.runtime.placement import CPU, GPU, NEURAL_ENGINE, placement_of
from tidegate.engines.runtime.registry import open_engine
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import OperatingPoint, Precision, StandIn
from tidegate.paths import profiles_directory

if find_spec("coremltools") is None:
    pytest.skip("needs tidegate[apple]", allow_module_level=True)

from tidegate.engines.coreml import compiled_package, compute_plan
from tidegate.engines.coreml import engine as engine_module
from tidegate.engines.coreml.compiled_package import CompiledPackage, PredictionError
from tidegate.engines.coreml.compute_plan import PlannedFunction, Share, planned_functions
from tidegate.engines.coreml.engine import CoreMlEngine
from tidegate.engines.coreml.runtime import ComputeUnit

# After the runtime, which keeps coremltools' warnings off.
from fake_core_ml import FakeCoreMl  # isort: skip

NETWORK = image_network(("residual", "downsample", "residual"), 8, 3)
FULL = point("eager")
GATED = OperatingPoint(
    "gated",
    "eager",
    FULL.figures,
    thresholds={"b0": 0.7, "b2": 0.5},
    stand_ins={"b0": StandIn.AFFINE},
    exits={"b2": 0.4},
)
SMALL = OperatingPoint("small", "eager", FULL.figures, precision=Precision.INT4)
POINTS = (FULL, GATED, SMALL)


@pytest.fixture
def core_ml(monkeypatch: pytest.MonkeyPatch) -> FakeCoreMl:
    fake = FakeCoreMl()
    monkeypatch.setattr(engine_module, "compile_model", fake.compile_model)
    monkeypatch.setattr(compiled_package, "CompiledMLModel", fake.CompiledMLModel)
    monkeypatch.setattr(compute_plan.MLComputePlan, "load_from_path", fake.load_from_path)
    return fake


def compiled(cache: Path) -> Path:
    (found,) = cache.glob("model-*/*.mlmodelc")
    return found


def test_points_answer_as_on_eager_and_a_package_is_compiled_once(core_ml: FakeCoreMl, tmp_path: Path) -> None:
    batch = batch_for(NETWORK, 6)
    for start in range(2):
        engine = CoreMlEngine(NETWORK, POINTS, NetworkCache(Cache(tmp_path), "net"))
        for each in POINTS:
            expected = EagerEngine(NETWORK).prepare(each).run(batch)
            variant = engine.prepare(each)
            found = variant.run(batch)
            assert difference(found.outputs, expected.outputs) < tolerance_of("coreml")
            assert found.executed_blocks == expected.executed_blocks
            assert variant.weights_resident_bytes > 0
        assert len(core_ml.compiled) == 2, f"fp16 and int4, whatever the start: {start}"
    assert {unit for unit, _ in core_ml.loaded} == {ComputeUnit.CPU_AND_NE}
    assert [name for _, name in core_ml.loaded].count("p_p") == 2, "once a start, though points share it"


def test_an_update_of_the_system_compiles_again(
    core_ml: FakeCoreMl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for build in ("macOS 27A1", "macOS 27A1", "macOS 27B5"):
        monkeypatch.setattr(device, "system_build", lambda build=build: build)
        CoreMlEngine(NETWORK, (FULL,), NetworkCache(Cache(tmp_path), "net")).prepare(FULL)
    assert len(core_ml.compiled) == 2


def test_without_a_cache_it_compiles_into_a_directory_of_its_own(core_ml: FakeCoreMl) -> None:
    engine = CoreMlEngine(NETWORK, (FULL,), name="coreml-gpu")
    engine.prepare(FULL)
    (path,) = core_ml.compiled
    assert Path(path).is_dir()
    assert core_ml.loaded == [(ComputeUnit.CPU_AND_GPU, "p_p")]


def test_inputs_are_kept_while_core_ml_may_read_them(core_ml: FakeCoreMl, tmp_path: Path) -> None:
    engine = CoreMlEngine(NETWORK, (FULL,), NetworkCache(Cache(tmp_path), "net"))
    engine.prepare(FULL).run(batch_for(NETWORK, 6))
    # And the fake does crash where nobody keeps them.
    model = core_ml.CompiledMLModel(str(compiled(tmp_path)), ComputeUnit.CPU_ONLY, "p_p")
    model.predict({"x": np.zeros((1, 3, 12, 12), np.float16)})
    with pytest.raises(SystemError, match="dropped"):
        model.predict({"x": np.zeros((1, 3, 12, 12), np.float16)})


def test_functions_that_had_to_go_are_loaded_again(core_ml: FakeCoreMl, tmp_path: Path) -> None:
    CoreMlEngine(NETWORK, POINTS, NetworkCache(Cache(tmp_path), "net")).prepare(GATED)
    package = CompiledPackage(compiled(tmp_path), ComputeUnit.CPU_ONLY, most_loaded=1)
    core_ml.loaded.clear()
    full, other = package.opened("p_p"), package.opened("p_gated_0_block")
    x = {"x": np.zeros((1, 3, 12, 12), np.float16)}
    full.predict(x)
    full.predict(x)
    other.predict({"x": np.zeros((1, 8, 12, 12), np.float16)})
    full.predict(x)
    assert [name for _, name in core_ml.loaded] == ["p_p", "p_gated_0_block", "p_p"]


def test_what_core_ml_refuses_is_said_with_the_function(core_ml: FakeCoreMl, tmp_path: Path) -> None:
    core_ml.refused.add("p_gated_0_block")
    engine = CoreMlEngine(NETWORK, POINTS, NetworkCache(Cache(tmp_path), "net"))
    engine.prepare(FULL)
    with pytest.raises(UnsupportedPoint, match="Core ML refuses function p_gated_0_block: Error compiling"):
        engine.prepare(GATED)
    with pytest.raises(PredictionError, match="failed in function p_p: MultiArray of float64"):
        CompiledPackage(compiled(tmp_path), ComputeUnit.ALL).opened("p_p").predict({"x": np.zeros(1)})


def test_points_of_other_engines_and_of_other_packages_are_refused(core_ml: FakeCoreMl) -> None:
    engine = CoreMlEngine(NETWORK, POINTS)
    with pytest.raises(UnsupportedPoint, match="certified on engine onnx"):
        engine.check(point("onnx"))
    with pytest.raises(UnsupportedPoint, match="not among the points"):
        engine.check(OperatingPoint("p", "eager", FULL.figures, skip=frozenset({"b0"})))
    assert core_ml.compiled == []


def test_it_serves_on_a_mac_of_today_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "coreml" not in installed_engines()
    bundle = open_bundle(profiles_directory() / "bundles" / "digits")
    with pytest.raises(UnknownEngine, match=r"macOS 15 or newer .* tidegate bundle coreml"):
        open_engine("coreml", bundle)
    assert placement_of("coreml").unit == NEURAL_ENGINE
    monkeypatch.setattr(apple_silicon.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(apple_silicon.platform, "machine", lambda: "arm64")
    for version, serves in (("14.7.1", False), ("15.0", True), ("27.1", True), ("", False)):
        monkeypatch.setattr(apple_silicon.platform, "mac_ver", lambda version=version: (version, ("", "", ""), ""))
        assert apple_silicon.has_core_ml() is serves


@pytest.mark.parametrize(
    ("name", "unit", "placed"),
    [
        ("coreml", ComputeUnit.CPU_AND_NE, NEURAL_ENGINE),
        ("coreml-gpu", ComputeUnit.CPU_AND_GPU, GPU),
        ("coreml-cpu", ComputeUnit.CPU_ONLY, CPU),
    ],
)
def test_each_compute_unit_is_an_engine_of_its_own_over_the_same_package(
    core_ml: FakeCoreMl, tmp_path: Path, name: str, unit: ComputeUnit, placed: str
) -> None:
    cache = NetworkCache(Cache(tmp_path), "net")
    CoreMlEngine(NETWORK, POINTS, cache).prepare(FULL)
    engine = CoreMlEngine(NETWORK, POINTS, cache, name)
    assert engine.name == name
    assert placement_of(name).unit == placed
    engine.prepare(FULL)
    assert core_ml.loaded[-1][0] is unit
    assert len(core_ml.compiled) == 1, "what is compiled is the same for all"


def test_on_a_mac_all_units_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apple_silicon.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(apple_silicon.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(apple_silicon.platform, "mac_ver", lambda: ("15.2", ("", "", ""), "arm64"))
    assert {"coreml", "coreml-gpu", "coreml-cpu"} < set(installed_engines())
    assert "coreai" not in installed_engines()


def test_a_plan_tells_how_many_operations_of_each_function_go_where(core_ml: FakeCoreMl, tmp_path: Path) -> None:
    CoreMlEngine(NETWORK, [FULL], NetworkCache(Cache(tmp_path), "net")).prepare(FULL)
    (on_engine,) = planned_functions(compiled(tmp_path), ComputeUnit.CPU_AND_NE)
    shares = {share.unit: share for share in on_engine.shares}
    assert shares.keys() == {NEURAL_ENGINE, CPU}, "constants are nowhere"
    assert sum(share.cost or 0 for share in on_engine.shares) == pytest.approx(1)
    (on_cpu,) = planned_functions(compiled(tmp_path), ComputeUnit.CPU_ONLY)
    assert [share.unit for share in on_cpu.shares] == [CPU]
    assert sum(share.operations for share in on_engine.shares) == on_cpu.shares[0].operations


@pytest.mark.usefixtures("core_ml")
def test_no_plan_is_a_reason_and_no_crash(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedPoint, match="has no plan for"):
        list(planned_functions(tmp_path / "none.mlmodelc", ComputeUnit.CPU_ONLY))


def test_a_plan_in_words() -> None:
    shares = (Share(NEURAL_ENGINE, 37, 0.98), Share(CPU, 3, None))
    said = str(PlannedFunction("p_full", shares))
    assert said == "p_full: 37 of 40 operations on neural engine (98 % of the estimated cost), 3 on cpu"


def test_doctor_says_where_core_ml_means_to_compute(
    core_ml: FakeCoreMl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(check_placement("coreml", tmp_path)) == [], "there is no Core ML on Linux"
    monkeypatch.setattr(placement, "has_core_ml", lambda: True)
    assert [each.said for each in check_placement("coreml", tmp_path)] == [
        f"no worker has compiled a Core ML package in {tmp_path}"
    ]
    CoreMlEngine(NETWORK, [FULL], NetworkCache(Cache(tmp_path), "net")).prepare(FULL)
    (one,) = check_placement("coreml-cpu", tmp_path)
    assert one.said.startswith("coreml-cpu p_")
    assert len(list(check_placement("auto", tmp_path))) == 3
    assert list(check_placement("onnx", tmp_path)) == []
