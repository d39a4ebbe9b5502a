"""Variants that stay: within the budget, latest first, none while memory is short."""

import pytest
from random_networks import point

from tidegate.engines.engine import Answer, Array
from tidegate.engines.runtime.resident import ResidentEngine, memory_is_short
from tidegate.models.ladder import OperatingPoint

SIZE = 100


class Counted:
    def __init__(self, chosen: OperatingPoint) -> None:
        self.point = chosen
        self.released = False

    @property
    def weights_resident_bytes(self) -> int:
        return 0 if self.released else SIZE

    def run(self, batch: Array) -> Answer:
        assert not self.released
        return Answer(batch, 0, 0)

    def release(self) -> None:
        self.released = True


class Engine:
    name = "counted"

    def __init__(self) -> None:
        self.made: list[Counted] = []

    def prepare(self, chosen: OperatingPoint) -> Counted:
        self.made.append(Counted(chosen))
        return self.made[-1]


def named(name: str, threads: int = 1) -> OperatingPoint:
    return OperatingPoint(name, "counted", point("counted").figures, threads=threads)


def visit(resident: ResidentEngine, *names: str) -> None:
    for name in names:
        resident.prepare(named(name)).release()


def test_going_back_prepares_nothing() -> None:
    engine = Engine()
    visit(ResidentEngine(engine, 2 * SIZE, lambda: False), "a", "b", "a", "b")
    assert [made.point.name for made in engine.made] == ["a", "b"]


def test_the_oldest_goes_when_the_budget_is_full() -> None:
    engine = Engine()
    visit(ResidentEngine(engine, 2 * SIZE, lambda: False), "a", "b", "c", "a")
    assert [made.point.name for made in engine.made] == ["a", "b", "c", "a"]
    assert [made.released for made in engine.made] == [True, True, False, False]


def test_nothing_stays_while_memory_is_short_or_without_a_budget() -> None:
    for resident in (ResidentEngine(Engine(), 9 * SIZE, lambda: True), ResidentEngine(Engine(), 0, lambda: False)):
        visit(resident, "a", "b")
        assert all(made.released for made in resident._engine.made)


def test_another_point_of_that_name_is_not_taken_for_it() -> None:
    engine = Engine()
    resident = ResidentEngine(engine, 2 * SIZE, lambda: False)
    resident.prepare(named("a")).release()
    assert resident.prepare(named("a", threads=2)).point.threads == 2
    assert engine.made[0].released


def test_what_was_lent_before_all_was_forgotten_does_not_stay() -> None:
    engine = Engine()
    resident = ResidentEngine(engine, 4 * SIZE, lambda: False)
    visit(resident, "a")
    lent = resident.prepare(named("b"))
    resident.forget()
    lent.release()
    assert [made.released for made in engine.made] == [True, True]
    visit(resident, "a", "a")
    assert [made.released for made in engine.made] == [True, True, False]


def test_a_lent_variant_is_over_after_release() -> None:
    resident = ResidentEngine(Engine(), SIZE, lambda: False)
    lent = resident.prepare(named("a"))
    assert lent.weights_resident_bytes == SIZE
    lent.release()
    lent.release()
    assert lent.weights_resident_bytes == 0
    with pytest.raises(RuntimeError, match="released"):
        lent.run(None)


def test_the_machine_is_asked() -> None:
    assert memory_is_short() in {True, False}
