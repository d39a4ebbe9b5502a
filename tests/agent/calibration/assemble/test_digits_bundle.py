"""The whole build at a fraction of its size: few images, epochs and blocks, two builds that must agree."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tidegate.calibration.assemble.digits_bundle import Recipe, build_digits_bundle
from tidegate.engines.bundle_check import verify
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.ladder_file import Calibration
from tidegate.models.ladder import OperatingPoint

# Two builds one after the other, which share the machine with other tests.
pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

RECIPE = Recipe(sizes=(300, 60, 120, 40), epochs=3, blocks=(2, 1), engines=("eager",))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    threads = torch.get_num_threads()
    paths = [tmp_path_factory.mktemp(name) / "bundle" for name in ("first", "second")]
    for path in paths:
        build_digits_bundle(path, seed=3, recipe=RECIPE)
    torch.set_num_threads(threads)
    return paths


def settled(point: OperatingPoint) -> OperatingPoint:
    """All of a point that does not rest on a clock."""
    return replace(point, figures=None)


def test_it_gives_a_bundle_that_verifies(built: list[Path]) -> None:
    assert [check for check in verify(built[0]) if not check.ok] == []


def test_what_it_cannot_certify_has_no_certificate(built: list[Path]) -> None:
    """With 120 inputs and a quarter of delta, 1, 1.5 and 3 % are out of reach."""
    bundle = open_bundle(built[0])
    assert bundle.calibration.alphas[:3] == (0.01, 0.015, 0.03)
    assert all(point.certified_risk in {0.0, 0.05} for point in bundle.ladder.points)


def test_building_again_gives_the_same_but_for_times(built: list[Path]) -> None:
    first, second = map(open_bundle, built)
    assert first.hashes["weights.safetensors"] == second.hashes["weights.safetensors"]
    assert first.hashes["samples.safetensors"] == second.hashes["samples.safetensors"]
    assert _but_for_strategy(first) == _but_for_strategy(second)
    assert first.built == second.built
    # Exits are placed by times, and rungs that differ by less than their noise may come and go.
    shared = {name for name in _by_name(first).keys() & _by_name(second).keys() if not _by_name(first)[name].exits}
    assert "full" in shared
    for name in shared:
        assert settled(_by_name(first)[name]) == settled(_by_name(second)[name])


def _but_for_strategy(bundle: Bundle) -> Calibration:
    """Which of two chains is cheaper is a matter of times."""
    search = {name: value for name, value in bundle.calibration.search.items() if name != "strategy"}
    return replace(bundle.calibration, search=search)


def _by_name(bundle: Bundle) -> dict[str, OperatingPoint]:
    return {point.name: point for point in bundle.ladder.points}
