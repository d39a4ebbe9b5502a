"""`auto` answers before it tries: with what is installed, then with what the trials found."""

from pathlib import Path

import pytest

from tidegate.engines.engine import REFERENCE, UnsupportedPoint
from tidegate.engines.runtime import auto
from tidegate.engines.runtime.auto import AutoEngine, known_choice, make_choice, untried_choice, untried_engine
from tidegate.engines.runtime.cache import Cache
from tidegate.engines.runtime.choice import Choice, Trial, choose
from tidegate.engines.runtime.dropped import Dropped
from tidegate.engines.runtime.installed import installed_engines
from tidegate.engines.runtime.other_load import BUSY, OtherLoad
from tidegate.engines.runtime.placement import CPU, GPU
from tidegate.engines.runtime.registry import open_at_once
from tidegate.engines.runtime.resident import ResidentEngine
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.worker.choosing import first_variant, refused_points

BUNDLE = open_bundle(profiles_directory() / "bundles" / "digits")
FULL = BUNDLE.ladder.full
CANARIES = BUNDLE.canaries()
FIRST = installed_engines()[0]

pytestmark = pytest.mark.skipif(len(installed_engines()) < 2, reason="one engine alone is never tried")


@pytest.fixture
def contests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whom the trials find fastest, one after the other; a contest with none left is one too many."""
    fastest: list[str] = []
    monkeypatch.setattr(OtherLoad, "share", lambda _: 0.0)

    def contest(_bundle: object, engines: list[str], *_: object) -> list[Trial]:
        best = fastest.pop(0)
        return [
            Trial(engine, point.name, 1.0 if engine == best else 9.0)
            for engine in engines
            for point in BUNDLE.ladder.points
        ]

    monkeypatch.setattr(auto, "contest", contest)
    return fastest


def test_the_first_answer_waits_for_no_trial(tmp_path: Path, contests: list[str]) -> None:
    engine, trials = open_at_once("auto", BUNDLE, tmp_path, False)
    expected = sorted({*untried_choice(BUNDLE, installed_engines()).engines.values()})
    assert engine.name == f"auto ({', '.join(expected)})"
    refused = refused_points(engine, BUNDLE.ladder)
    variant = first_variant(engine, BUNDLE.ladder, CANARIES, FULL.name, refused)
    assert variant.point == FULL
    assert trials is not None
    contests.append(installed_engines()[-1])
    assert set(trials().engines.values()) == {installed_engines()[-1]}
    # The next start knows, and has nothing to try.
    again, none = open_at_once("auto", BUNDLE, tmp_path, False)
    assert (again.name, none) == (f"auto ({installed_engines()[-1]})", None)


def test_what_is_in_doubt_answers_and_is_tried_again(
    tmp_path: Path, contests: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OtherLoad, "share", lambda _: BUSY + 0.1)
    contests.append(FIRST)
    make_choice(BUNDLE, installed_engines(), Cache(tmp_path))
    known = known_choice(BUNDLE, installed_engines(), Cache(tmp_path))
    assert known is not None
    assert (set(known[0].engines.values()), known[1]) == ({FIRST}, False)
    assert open_at_once("auto", BUNDLE, tmp_path, False)[1] is not None


def test_an_engine_that_was_not_tried_says_itself_what_it_can_not_run(tmp_path: Path) -> None:
    untried = untried_choice(BUNDLE, installed_engines())
    own = {point.name: point.engine for point in BUNDLE.ladder.points if point.engine != REFERENCE}
    assert all(untried.engines[name] == engine for name, engine in own.items() if engine in installed_engines())
    alone = untried_choice(BUNDLE, (FIRST,))
    for name, engine in own.items():
        if engine != FIRST:
            assert f"{name}: engine {engine} is not installed" in alone.reasons

    class Picky:
        name = "picky"

        def check(self, point: object) -> None:
            raise UnsupportedPoint("not here")

    engine = AutoEngine(Choice({FULL.name: "picky"}, []), lambda _: Picky(), untried="picky")  # type: ignore[arg-type, return-value]
    with pytest.raises(UnsupportedPoint, match="not here"):
        engine.check(FULL)


def test_points_are_prepared_by_other_engines_once_a_choice_is_adopted(tmp_path: Path) -> None:
    opened, _ = open_at_once("auto", BUNDLE, tmp_path, False)
    assert isinstance(opened, AutoEngine)
    resident = ResidentEngine(opened, 1 << 30)
    resident.prepare(FULL).release()
    other = installed_engines()[1]
    opened.adopt(Choice({FULL.name: other}, []))
    resident.forget()
    variant = resident.prepare(FULL)
    assert CANARIES.agreement(FULL.name, variant.run(CANARIES.inputs).outputs) == 1
    assert opened.engine_of(FULL) == other
    assert opened.engine_of(BUNDLE.ladder.cheapest) is None


def test_an_engine_that_lies_before_the_trials_stays_out_of_what_they_find(tmp_path: Path) -> None:
    engine, _ = open_at_once("auto", BUNDLE, tmp_path, False)
    assert isinstance(engine, AutoEngine)
    serving = engine.prepare(FULL)
    assert serving.run(CANARIES.inputs).engine == FIRST
    engine.drop(FIRST, "lied")
    assert engine.engine_of(FULL) == serving.run(CANARIES.inputs).engine == installed_engines()[1]
    # The trials were made meanwhile, and found it fastest.
    engine.adopt(Choice({FULL.name: FIRST}, [], installed_engines()))
    assert engine.engine_of(FULL) == engine.prepare(FULL).run(CANARIES.inputs).engine == installed_engines()[1]
    engine.adopt(Choice({FULL.name: FIRST}, [], [FIRST]))
    assert engine.engine_of(FULL) is None
    with pytest.raises(UnsupportedPoint, match=r"no engine is left for it here .*lied"):
        engine.check(FULL)
    assert FIRST not in open_at_once("auto", BUNDLE, tmp_path, False)[0].name


def test_an_answer_says_which_engine_gave_it_whoever_has_the_point_by_now(tmp_path: Path) -> None:
    engine, _ = open_at_once("auto", BUNDLE, tmp_path, False)
    assert isinstance(engine, AutoEngine)
    before = engine.prepare(FULL)
    other = installed_engines()[1]
    engine.adopt(Choice({FULL.name: other}, [], [other]))
    assert before.run(CANARIES.inputs).engine == FIRST
    assert engine.prepare(FULL).run(CANARIES.inputs).engine == other


def test_without_an_engine_that_is_believed_nothing_answers(tmp_path: Path) -> None:
    dropped = Dropped(Cache(tmp_path))
    for name in installed_engines():
        dropped.add(name, "lied")
    with pytest.raises(UnsupportedPoint, match=f"none that is installed is believed any more .{FIRST} lied"):
        open_at_once("auto", BUNDLE, tmp_path, False)


def test_another_unit_than_the_cpu_answers_untried_where_it_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "unit_of", lambda name: GPU if name == FIRST else CPU)
    other = installed_engines()[1]
    assert (untried_engine((FIRST, other)), untried_engine((FIRST,))) == (other, FIRST)
    choice = untried_choice(BUNDLE, (FIRST, other))
    assert FIRST not in choice.engines.values()
    for point in BUNDLE.ladder.points:
        if point.engine == FIRST:
            assert f"{point.name}: engine {FIRST} was not tried yet" in choice.reasons


def test_an_engine_that_is_not_believed_anywhere_stands_in_for_none() -> None:
    found = choose(
        {FULL.name: None}, [Trial("onnx", FULL.name, 1.0), Trial("mlx", FULL.name, None, "is not believed")]
    )
    assert found.able == ["onnx"]
