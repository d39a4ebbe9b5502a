"""What a worker says of points that its engine can't run, and where it then starts."""

from dataclasses import replace

import pytest

from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Ladder
from tidegate.paths import profiles_directory
from tidegate.worker.choosing import first_point, refused_points

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
FULL = BUNDLE.ladder.full
LADDER = Ladder((FULL, replace(FULL, name="small", engine="eager"), replace(FULL, name="foreign", engine="onnx")))


def test_a_point_of_another_engine_is_refused_with_its_name_and_the_others_are_not() -> None:
    refused = refused_points(EagerEngine(BUNDLE), LADDER)
    assert refused == {"foreign": "foreign: certified on engine onnx, whose arithmetic is its own"}


def test_it_starts_where_it_was_told_or_at_full_where_that_is_refused() -> None:
    refused = {"foreign": "certified on engine onnx"}
    assert first_point(LADDER, "small", refused).name == "small"
    assert first_point(LADDER, "foreign", refused).name == "full"


def test_a_point_that_is_not_on_the_ladder_is_no_refusal() -> None:
    with pytest.raises(KeyError):
        first_point(LADDER, "no such", {})
