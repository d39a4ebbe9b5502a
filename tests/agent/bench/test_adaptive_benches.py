"""The AdaptiveActivation benchmark, small, and its way for users with weights and images of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tidegate.calibration.data.datasets import DataError
from tidegate.calibration.knob_settings import KnobSettings
from tidegate.engines.reference.eager import EagerEngine
from tidegate.engines.reference.tracing import Tracer
from tidegate.models.ladder import Precision
from tidegate_bench.adaptive_activation.costs import NotMeasurable, energy_cost
from tidegate_bench.adaptive_activation.held_memory import measure
from tidegate_bench.adaptive_activation.knobs import Choice
from tidegate_bench.adaptive_activation.own_images import load_own
from tidegate_bench.adaptive_activation.problem import memory_cost
from tidegate_bench.adaptive_activation.study import AdaptiveStudy
from tidegate_bench.adaptive_activation.targets import target_rows
from tidegate_bench.adaptive_activation.zoo_on_digits import Samples, Trained, train_small
from tidegate_bench.broken import BrokenError
from tidegate_bench.zoo.catalog import ZOO
from tidegate_drivers.energy_meter import NoMeter, find_energy_meter

pytestmark = pytest.mark.long


def few(samples: Samples) -> Samples:
    return Samples(samples.inputs[:16], samples.labels[:16])


@pytest.fixture(scope="module")
def trained() -> Iterator[Trained]:
    """Trained, and studied, on one thread, as the benchmark does."""
    threads = torch.get_num_threads()
    found = train_small("lenet", seed=0, epochs=3)
    yield Trained(found.network, *(few(part) for part in (found.search, found.certify, found.report)))
    torch.set_num_threads(threads)


def test_study_names_every_baseline_and_its_reductions_are_its_bytes(trained: Trained) -> None:
    """Trained too briefly to be certified for sure: a study without a certificate must come out as well."""
    study = AdaptiveStudy("lenet", trained, True, lambda _: None).run()
    rows = {(row["method"], row["target"]): row for row in study.rows}
    int8 = rows["uniform int8", "-"]
    assert {"fp32", "uniform int8"} <= {method for method, _ in rows}
    assert any(str(method).startswith("uniform sparsity") for method, _ in rows)
    for row in study.rows:
        if "vs_int8" in row:
            held = row["weights_resident_bytes"] + row["peak_live_encoded_bytes"]
            full = int8["weights_resident_bytes"] + int8["peak_live_encoded_bytes"]
            assert row["vs_int8"] == pytest.approx(1 - held / full)
    for (method, target), row in rows.items():
        if method == "greedy" and row["verdict"] != "infeasible":
            assert row["vs_int8"] > target - 0.05
    assert study.optimum_gap_kl is not None
    assert study.optimum_gap_kl >= 0


def test_latency_targets_are_measured_and_energy_is_not_made_up(trained: Trained) -> None:
    rows = list(target_rows("lenet", trained, "latency"))
    assert all(row["verdict"] in {"met", "infeasible"} for row in rows)
    assert all(
        row["reached_ms"] <= row["full_ms"] * (1 - row["target"]) for row in rows if row["verdict"] == "met"
    )
    if isinstance(find_energy_meter(), NoMeter):
        (row,) = target_rows("lenet", trained, "energy")
        assert str(row["verdict"]).startswith("not measurable: ")


class TwoJoules:
    """A meter that says 2 J of any work, or nothing."""

    source = "two joules"
    least_s = 0.2

    def __init__(self, spent: float | None = 2.0) -> None:
        self.spent = spent
        self.runs = 0

    def spent_j(self, work: Callable[[], object]) -> float | None:
        work()
        self.runs += 1
        return self.spent


def test_energy_of_one_inference_is_the_meter_s_rise_over_their_number(trained: Trained) -> None:
    engine, meter = EagerEngine(trained.network), TwoJoules()
    trace = Tracer(trained.network).trace(KnobSettings(), trained.search.inputs[:2])
    cost = energy_cost(engine, trained.search.inputs, meter)
    assert 0 < cost(Choice(KnobSettings()), trace) < 2000
    assert meter.runs == 1
    assert memory_cost(Choice(KnobSettings()), trace) == trace.model_bytes
    with pytest.raises(NotMeasurable, match="two joules"):
        energy_cost(engine, trained.search.inputs, TwoJoules(None))(Choice(KnobSettings()), trace)


def test_a_process_of_its_own_holds_the_weights_it_says() -> None:
    held = measure("lenet", Precision.INT8, 32)
    assert held.weights_resident_bytes < 61_706 * 4 / 3.5
    assert held.rss_bytes > held.weights_resident_bytes


@pytest.mark.slow
def test_a_process_that_breaks_is_told_with_its_last_words() -> None:
    with pytest.raises(BrokenError, match="nowhere"):
        measure("nowhere", Precision.FP32, 32)


def test_own_weights_and_images_take_the_place_of_digits(tmp_path: Path) -> None:
    weights, images = tmp_path / "lenet.pth", tmp_path / "images.npz"
    torch.save(ZOO["lenet"].full().state_dict(), weights)
    random = np.random.default_rng(0)
    inputs, labels = random.normal(size=(600, 1, 32, 32)).astype(np.float32), random.integers(0, 10, 600)
    np.savez(images, inputs=inputs, labels=labels)
    own = load_own("lenet", 32, weights, images, seed=0)
    parts = (own.search, own.certify, own.report)
    assert [len(part.labels) for part in parts] == [120, 360, 120]
    seen = np.concatenate([part.inputs for part in parts]).sum((1, 2, 3))
    assert np.allclose(np.sort(seen), np.sort(inputs.sum((1, 2, 3))))
    for wrong, reason in (
        ({"inputs": inputs[:10], "labels": labels[:10]}, "at least 500"),
        ({"inputs": inputs, "labels": labels[:5]}, "labels are"),
        ({"inputs": inputs.astype(np.complex64), "labels": labels}, "inputs are complex64"),
        ({"inputs": inputs}, "no labels"),
        ({"inputs": inputs[:, :, :8], "labels": labels}, "lenet takes"),
    ):
        np.savez(images, **wrong)
        with pytest.raises(DataError, match=reason):
            load_own("lenet", 32, weights, images, seed=0)
