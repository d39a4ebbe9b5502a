"""No engine is believed for its canaries: it is compared on samples before it serves, and watched then."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from lying_trials import LIE, Lying

from tidegate.engines.engine import Engine, UnsupportedPoint
from tidegate.engines.runtime import auto as auto_module
from tidegate.engines.runtime import device, placement_watch, trials
from tidegate.engines.runtime.agreement import LIMIT, PlacementCertificate, answered_apart, judge
from tidegate.engines.runtime.auto import AutoEngine
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.choice import Choice, Trial, choose
from tidegate.engines.runtime.dropped import Dropped
from tidegate.engines.runtime.placement import CPU, GPU, Placement, placement_of
from tidegate.engines.runtime.placement_watch import PlacementWatch
from tidegate.engines.runtime.registry import open_engine
from tidegate.engines.runtime.trial_process import measure
from tidegate.engines.runtime.watched_variant import NoEngineLeftError
from tidegate.models.bundle import open_bundle
from tidegate.models.exact_test import holds, upper_bound
from tidegate.models.ladder import Compared, Comparison
from tidegate.paths import profiles_directory

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
FULL = BUNDLE.ladder.full
SAMPLES = BUNDLE.samples().inputs()
BEST_CLASS = Comparison(Compared.BEST_CLASS)
N = 200
RNG = np.random.default_rng(0)
HONEST = RNG.normal(size=(N, 10)).astype(np.float32) * 3

needs_litert = pytest.mark.skipif(find_spec("ai_edge_litert") is None, reason="needs tidegate[litert]")
needs_onnx = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs tidegate[onnx]")


def placed(engine: str, unit: str = CPU) -> Placement:
    return Placement(engine, unit, f"{engine} 1.0", "system 1")


def judged(answers: dict[str, np.ndarray], unit: str = CPU, n: int = N) -> dict[str, str]:
    """What is wrong with each engine at the full point; nothing with those that are believed."""
    placements = {name: placed(name, unit if name == "mlx" else CPU) for name in answers}
    found = judge(
        BUNDLE.ladder,
        BEST_CLASS,
        placements,
        [Trial(name, FULL.name, 1.0) for name in answers],
        {(name, FULL.name): outputs[:n] for name, outputs in answers.items()},
    )
    return {trial.engine: trial.reason for trial in found.trials if trial.latency_ms is None}


def with_offset(share: float) -> np.ndarray:
    off = HONEST.copy()
    off[: int(share * N), 3] += 0.8
    return off


def with_nan() -> np.ndarray:
    off = HONEST.copy()
    off[-10:] = np.nan
    return off


NOISE = HONEST + RNG.normal(size=HONEST.shape).astype(np.float32) * 1e-5


@pytest.mark.parametrize("lie", [with_offset(0.05), with_nan(), -HONEST, with_offset(1.0)])
def test_an_engine_that_lies_on_a_share_of_the_samples_is_out(lie: np.ndarray) -> None:
    wrong = judged({"onnx": HONEST, "mlx": lie, "eager": NOISE}, GPU)
    assert wrong.keys() == {"mlx"}
    assert "samples apart from eager on cpu" in wrong["mlx"]
    assert "mlx on gpu, mlx 1.0, system 1" in wrong["mlx"]


def test_engines_that_agree_up_to_rounding_and_one_gate_in_two_hundred_are_believed() -> None:
    assert judged({"onnx": NOISE, "litert": with_offset(0.005), "eager": HONEST}) == {}


def test_of_engines_on_the_cpu_the_odd_one_is_the_liar_even_if_it_is_the_reference() -> None:
    assert judged({"onnx": NOISE, "litert": HONEST, "eager": with_offset(0.05)}).keys() == {"eager"}
    assert judged({"onnx": with_offset(0.05), "litert": HONEST, "eager": NOISE}).keys() == {"onnx"}


def test_with_few_samples_not_one_may_be_apart() -> None:
    assert judged({"onnx": HONEST, "mlx": NOISE}, GPU, n=20) == {}
    assert judged({"onnx": HONEST, "mlx": with_offset(0.005)}, GPU, n=20).keys() == {"mlx"}


def test_another_unit_is_never_what_others_are_compared_with() -> None:
    assert judged({"mlx": with_offset(0.05)}, GPU) == {}
    wrong = judged({"mlx": HONEST, "onnx": with_offset(0.05)}, GPU)
    assert wrong.keys() == {"mlx"}, "the CPU is what a unit is held against"


def test_a_certificate_of_agreement_is_an_exact_bound() -> None:
    one = PlacementCertificate(placed("mlx", GPU), placed("onnx"), N, 1)
    assert holds(1, N, one.alpha + 1e-9, 0.05)
    assert not holds(1, N, one.alpha - 1e-6, 0.05)
    assert one.alpha == pytest.approx(0.02350, abs=1e-5)
    assert one.alpha <= LIMIT < upper_bound(2, N, 0.05)
    assert upper_bound(0, 0, 0.05) == upper_bound(N, N, 0.05) == 1


def test_a_point_of_an_engines_own_arithmetic_is_held_to_its_certificate() -> None:
    own = next(point for point in BUNDLE.ladder.points if point.engine == "onnx")
    flipped = HONEST.copy()
    flipped[:40] = -flipped[:40]
    for outputs, believed in ((HONEST, True), (flipped, False), (with_nan(), False)):
        found = judge(
            BUNDLE.ladder,
            BEST_CLASS,
            {name: placed(name) for name in ("onnx", "eager")},
            [Trial("onnx", own.name, 1.0)],
            {("onnx", FULL.name): HONEST, ("eager", FULL.name): HONEST, ("onnx", own.name): outputs},
        )
        assert (found.trials[0].latency_ms is not None) is believed


def test_no_number_is_apart_whatever_is_compared() -> None:
    off = HONEST.copy()
    off[3, 2], off[4, 1] = np.nan, np.inf
    for comparison in (BEST_CLASS, Comparison(Compared.OWN), Comparison(Compared.DISTANCE, 100.0)):
        assert list(np.flatnonzero(answered_apart(comparison, HONEST, off))) == [3, 4]


@needs_litert
@needs_onnx
def test_a_liar_that_passes_the_canaries_does_not_survive_its_trial(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    support = Path(__file__).parents[2] / "support"
    monkeypatch.setenv("PYTHONPATH", str(support))
    monkeypatch.setenv(LIE, "offset")
    monkeypatch.setattr(trials, "MODULE", "lying_trials")
    only_full = replace(BUNDLE, ladder=replace(BUNDLE.ladder, points=(FULL,)))
    found = {each.engine: each for each in trials.contest(only_full, ["onnx", "litert"], tmp_path)}
    assert found["onnx"].latency_ms is not None
    assert found["litert"].latency_ms is None
    assert "is not believed" in found["litert"].reason
    assert "canaries" not in found["litert"].reason


@needs_litert
def test_a_slow_load_is_no_lie_and_no_latency(tmp_path: Path) -> None:
    found = measure(BUNDLE, opener("slow")("litert"), FULL, tmp_path / "0.npy")
    assert found.latency_ms is not None
    assert found.first_ms is not None
    assert found.first_ms >= 1000
    assert ", the first after 1" in choose({FULL.name: 0.0}, [found]).reasons[0]


def opener(lie: str, engine: str = "litert"):  # type: ignore[no-untyped-def]  # a function
    def opened(name: str) -> Engine:
        honest = open_engine(name, BUNDLE)
        return Lying(honest, BUNDLE, lie) if name == engine else honest

    return opened


def serving(lie: str, cache: Cache, others: tuple[str, ...] = ("litert", "onnx")) -> AutoEngine:
    return AutoEngine(Choice({FULL.name: "litert"}, []), opener(lie), others, Dropped(cache))


@needs_litert
@needs_onnx
def test_nan_after_a_while_reaches_nobody_and_drops_the_engine(tmp_path: Path) -> None:
    engine = serving("nan", Cache(tmp_path))
    variant, other = engine.prepare(FULL), engine.prepare(FULL)
    expected = open_engine("onnx", BUNDLE).prepare(FULL)
    for start in range(0, N, 20):
        batch = SAMPLES[start : start + 20]
        outputs = variant.run(batch).outputs
        assert np.abs(outputs - expected.run(batch).outputs).max() < 1e-3
    (told,) = engine.take_dropped()
    assert "engine litert is dropped: it answered" in told
    assert placement_of("litert").in_words in told
    assert engine.take_dropped() == ()
    assert engine.engine_of(FULL) == "onnx"
    # What was prepared before, too.
    assert np.isfinite(other.run(SAMPLES).outputs).all()
    assert Dropped(Cache(tmp_path)).reasons.keys() == {"litert"}


@needs_litert
def test_without_another_engine_there_is_an_error_and_no_nan(tmp_path: Path) -> None:
    engine = serving("nan", Cache(tmp_path), ("litert",))
    variant = engine.prepare(FULL)
    variant.run(SAMPLES[:100])
    with pytest.raises(NoEngineLeftError, match="no other one here runs this point"):
        variant.run(SAMPLES[100:])
    with pytest.raises(UnsupportedPoint, match=r"no engine is left for it here \(litert answered"):
        engine.check(FULL)


@needs_litert
def test_what_is_no_number_comes_back_for_inputs_that_are_none(tmp_path: Path) -> None:
    engine = serving("", Cache(tmp_path))
    outputs = engine.prepare(FULL).run(np.full_like(SAMPLES[:1], np.nan)).outputs
    assert np.isnan(outputs).any()
    assert engine.take_dropped() == ()


def test_an_update_of_the_system_or_a_runtime_forgets_and_counts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Dropped(Cache(tmp_path)).add("litert", "lied")
    assert Dropped(Cache(tmp_path)).reasons == {"litert": "lied"}
    choice = Cache(tmp_path).entry("choice", "a")
    monkeypatch.setattr(device, "system_build", lambda: "macOS 27B5")
    assert Dropped(Cache(tmp_path)).reasons == {}
    assert Cache(tmp_path).entry("choice", "a") != choice
    again = Cache(tmp_path).entry("choice", "a")
    monkeypatch.setattr(device, "installed_version", lambda name: "999")
    assert Cache(tmp_path).entry("choice", "a") != again


@pytest.fixture
def litert_on_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (auto_module, placement_watch):
        monkeypatch.setattr(module, "unit_of", lambda name: GPU if name == "litert" else CPU)


@needs_litert
@needs_onnx
@pytest.mark.parametrize(("lie", "dropped"), [("offset", True), ("", False)])
def test_shadow_runs_on_the_cpu_find_a_unit_that_starts_to_lie(
    lie: str, dropped: bool, tmp_path: Path, litert_on_gpu: None
) -> None:
    engine = serving(lie, Cache(tmp_path))
    watch = PlacementWatch(engine, BEST_CLASS)
    assert watch.watches(engine.engine_of(FULL))
    variant = engine.prepare(FULL)
    for _ in range(3):
        for start in range(0, N, 20):
            batch = SAMPLES[start : start + 20]
            watch.compare(batch, FULL, variant.run(batch))
    assert (engine.engine_of(FULL) == "onnx") is dropped
    assert watch.watches(engine.engine_of(FULL)) is not dropped
    watch.release()


@needs_onnx
def test_engines_of_the_cpu_are_not_watched_by_another_one(tmp_path: Path) -> None:
    engine = AutoEngine(Choice({FULL.name: "onnx"}, []), opener(""), ("onnx", "eager"), Dropped(Cache(tmp_path)))
    watch = PlacementWatch(engine, BEST_CLASS)
    assert not watch.watches(engine.engine_of(FULL))
    watch.compare(SAMPLES[:1], FULL, engine.prepare(FULL).run(SAMPLES[:1]))
    assert engine.take_dropped() == ()
