"""What a worker says of points that its engine can't run, and where it then starts."""

from dataclasses import replace

import pytest

from tidegate.engines.engine import Answer, Array, Variant
from tidegate.engines.reference.eager import EagerEngine
from tidegate.models.bundle import open_bundle
from tidegate.models.ladder import Ladder, OperatingPoint
from tidegate.paths import profiles_directory
from tidegate.worker.choosing import NoRightAnswer, first_point, first_variant, refused_points

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


class Answering:
    """An engine whose points answer as recorded, but for some."""

    name = "eager"

    def __init__(self, wrong: set[str]) -> None:
        self._wrong = wrong
        self._engine = EagerEngine(BUNDLE)

    def check(self, point: OperatingPoint) -> None:
        self._engine.check(point)

    def prepare(self, point: OperatingPoint) -> Variant:
        other = BUNDLE.ladder.full if point.name in self._wrong else point
        variant = self._engine.prepare(other)
        return Upside(variant, point) if point.name in self._wrong else variant


class Upside:
    """A variant that answers the opposite, under another point's name."""

    def __init__(self, variant: Variant, point: OperatingPoint) -> None:
        self.point = point
        self._variant = variant
        self.released = False

    weights_resident_bytes = 0

    def run(self, batch: Array) -> Answer:
        answer = self._variant.run(batch)
        return answer._replace(outputs=-answer.outputs)

    def release(self) -> None:
        self.released = True


TWO = Ladder((FULL, replace(FULL, name="small")))
RECORDED = BUNDLE.canaries()
CANARIES = replace(RECORDED, top1={"full": RECORDED.top1["full"], "small": RECORDED.top1["full"]})


def test_the_first_variant_is_the_one_wanted_when_it_answers_right() -> None:
    assert first_variant(Answering(set()), TWO, CANARIES, "small", {}).point.name == "small"


def test_a_point_that_answers_wrongly_is_passed_over_and_when_all_do_nothing_serves() -> None:
    assert first_variant(Answering({"full"}), TWO, CANARIES, "full", {}).point.name == "small"
    assert first_variant(Answering({"small"}), TWO, CANARIES, "small", {}).point.name == "full"
    with pytest.raises(NoRightAnswer, match="full answered 0% of the canaries as recorded"):
        first_variant(Answering({"full", "small"}), TWO, CANARIES, "full", {})
