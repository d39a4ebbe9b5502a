"""The mlx engine's own: how often a sample waits, what weights take, and where the runtime is loaded."""

import platform
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from random_networks import batch_for, difference, image_network, point, token_network

from tidegate.engines.plan.rounding import rounded
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.runtime.installed import installed_engines
from tidegate.engines.runtime.pipeline_variant import PipelineVariant
from tidegate.engines.runtime.registry import open_engine
from tidegate.engines.runtime.speculative_pipeline import HABIT
from tidegate.models.bundle import open_bundle
from tidegate.models.graph.operators import OPERATORS
from tidegate.models.ladder import Activity, Precision
from tidegate.paths import profiles_directory

if find_spec("mlx") is None:
    pytest.skip("needs tidegate[apple]", allow_module_level=True)

from tidegate.engines.mlx import library
from tidegate.engines.mlx.converters import CONVERTERS
from tidegate.engines.mlx.engine import MlxEngine
from tidegate.engines.mlx.memory_limits import MemoryLimits
from tidegate.engines.mlx.runtime import mx
from tidegate.engines.mlx.stored_weight import Form, PackedMatrix, stored

BUNDLE = profiles_directory() / "bundles" / "digits"
MIB = 1 << 20


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each evaluation of a pipeline: how many values it asked for."""
    found: list[int] = []
    evaluate = mx.eval

    class Counted:
        def __getattr__(self, name: str) -> object:
            return getattr(mx, name)

        @staticmethod
        def eval(values: list[object]) -> None:
            found.append(len(values))
            evaluate(values)

    monkeypatch.setattr(library, "mx", Counted())
    return found


def test_gates_that_decide_alike_cost_one_wait_for_all_of_them(waits: list[int]) -> None:
    network = image_network(("residual",) * 3, 8, 0)
    chosen = {"thresholds": {"b0": -1.0, "b1": 1e9, "b2": -1.0}, "exits": {"b2": 2.0}}
    variant = MlxEngine(network).prepare(point("eager", **chosen))
    batch = batch_for(network, HABIT + 3)
    answers = variant.run(batch)
    asked, last = waits[: -1 * 3], waits[-3:]
    assert last == [5, 5, 5], "the answer, three scores and a margin at once"
    assert len(asked) == HABIT * 5
    expected = EagerEngine(network).prepare(point("eager", **chosen)).run(batch)
    assert difference(answers.outputs, expected.outputs) < 1e-4
    assert answers.executed_blocks == expected.executed_blocks


@pytest.mark.parametrize("activity", [Activity.MEAN_ABS, Activity.FRAME_CHANGE, Activity.BLOCK_CHANGE])
def test_a_gate_that_breaks_its_habit_gets_its_own_answer(activity: Activity, waits: list[int]) -> None:
    network = image_network(("residual",) * 3, 8, 0)
    rng = np.random.default_rng(3)
    quiet = np.repeat(batch_for(network, 1), 9, axis=0) * 0.3
    loud = rng.normal(size=(3, *quiet.shape[1:])).astype(np.float32) * 4
    batch = np.concatenate([quiet, loud, quiet, loud])
    limits = {Activity.MEAN_ABS: 0.9, Activity.FRAME_CHANGE: 0.5, Activity.BLOCK_CHANGE: 0.8}
    chosen = {"thresholds": dict.fromkeys(("b0", "b1", "b2"), limits[activity]), "activity": activity}
    expected = EagerEngine(network).prepare(point("eager", **chosen)).run(batch)
    variant = MlxEngine(network).prepare(point("eager", **chosen))
    found = variant.run(batch)
    assert found.executed_blocks == expected.executed_blocks
    assert difference(found.outputs, expected.outputs) < 1e-4
    assert 0 < found.executed_blocks < 3 * len(batch), "or this test shows nothing"
    assert len(waits) < 4 * len(batch), "with a wait for every score, and one for the answer"


@pytest.mark.parametrize(("precision", "bits"), [(Precision.INT8, 8), (Precision.INT4, 4)])
@pytest.mark.parametrize("inputs", [32, 64, 96, 128, 256])
def test_linear_layers_multiply_with_our_codes(precision: Precision, bits: int, inputs: int) -> None:
    rng = np.random.default_rng(inputs)
    weight = rng.normal(size=(10, inputs)).astype(np.float32) * rng.uniform(0.1, 9, (10, 1)).astype(np.float32)
    held = stored(weight, precision, Form(2, (0, 1), matrix=True))
    assert isinstance(held, PackedMatrix)
    assert held.bits == bits
    wide = rounded(weight, precision)
    assert np.abs(np.array(held.widened()) - wide).max() <= 1e-5 * np.abs(wide).max()
    x = rng.normal(size=(2, 3, inputs)).astype(np.float32)
    assert difference(np.array(held.times(mx.array(x))), x @ wide.T) < 1e-5


def test_inputs_that_share_no_scale_are_widened_like_convolutions() -> None:
    weight = np.random.default_rng(0).normal(size=(10, 33)).astype(np.float32)
    held = stored(weight, Precision.INT4, Form(2, (0, 1), matrix=True))
    assert not isinstance(held, PackedMatrix)
    assert np.array_equal(np.array(held.widened()), rounded(weight, Precision.INT4))
    assert sum(each.nbytes for each in held.tensors) == 33 * 10 / 2 + 4 * 10


def test_points_share_their_weights() -> None:
    network = token_network(2, 32, 1)
    engine = MlxEngine(network)
    full, other = engine.prepare(point("eager")), engine.prepare(point("eager", skip=frozenset({"b0"})))

    def held(variant: PipelineVariant) -> set[int]:
        return {
            id(weight) for stage in variant._pipeline.stages if stage.program for weight in stage.program.weights
        }

    assert held(other) < held(full)


def test_every_point_of_the_shipped_bundle_that_has_the_references_arithmetic_answers_its_canaries() -> None:
    bundle = open_bundle(BUNDLE)
    engine = open_engine("mlx", bundle)
    canaries = bundle.canaries()
    own = [each for each in bundle.ladder.points if each.engine == "eager"]
    assert own
    for each in own:
        assert canaries.agreement(each.name, engine.prepare(each).run(canaries.inputs).outputs) == 1


def test_a_memory_budget_bounds_what_mlx_keeps() -> None:
    assert MemoryLimits.within(None) == MemoryLimits(None, 32 * MIB, None)
    assert MemoryLimits.within(80 * MIB) == MemoryLimits(80 * MIB, 10 * MIB, 40 * MIB)
    assert MemoryLimits.within(4 << 30).cache_bytes == 32 * MIB
    before = mx.set_memory_limit(1 << 40)
    try:
        MlxEngine(token_network(1, 8, 1), MemoryLimits.within(80 * MIB))
        assert mx.set_memory_limit(before) == 80 * MIB
        assert mx.set_cache_limit(32 * MIB) == 10 * MIB
    finally:
        mx.set_memory_limit(before)


@pytest.mark.skipif(platform.system() == "Darwin", reason="there `auto` considers it")
def test_auto_leaves_mlx_out_where_it_is_a_proof_only() -> None:
    assert "mlx" not in installed_engines()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_loading_the_engine_takes_60_mib_at_most_and_no_torch() -> None:
    program = (
        "import sys, tidegate.engines.mlx.engine\n"
        "assert 'torch' not in sys.modules\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 60 << 10


def test_every_operator_of_the_table_has_a_converter() -> None:
    assert CONVERTERS.keys() == OPERATORS.keys()
