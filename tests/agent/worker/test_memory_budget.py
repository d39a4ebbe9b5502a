"""Whether one more model fits: by the worker's limit, by the machine's memory, by the service's."""

import pytest

from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.worker.memory_budget import LEAST_NEED_BYTES, Machine, MemoryBudget, machine_memory, need_bytes

MIB = 1 << 20
AMPLE = Machine(1000 * MIB, 800 * MIB)


@pytest.mark.parametrize(
    ("limit", "machine", "need", "said"),
    [
        (200, AMPLE, 80, None),
        (
            200,
            AMPLE,
            81,
            "it needs about 81 MiB, and the worker holds 100 of the 200 MiB that worker.memory_limit",
        ),
        (None, AMPLE, 700, None),
        (None, AMPLE, 701, "800 MiB of this machine's 1000 are available, of which a tenth"),
        (200, Machine(1000 * MIB, 150 * MIB), 60, "are available"),
        (None, Machine(1000 * MIB, 800 * MIB, 40 * MIB), 41, "40 MiB are left of what this service or container"),
    ],
)
def test_what_does_not_fit_is_said_with_its_figures(
    limit: int | None, machine: Machine, need: int, said: str | None
) -> None:
    budget = MemoryBudget(None if limit is None else limit * MIB, lambda: 100 * MIB, lambda: machine)
    lacking = budget.lacking(need * MIB)
    assert (lacking is None) == (said is None)
    assert said is None or said in str(lacking)


def test_near_its_limit_memory_is_tight() -> None:
    assert not MemoryBudget(200 * MIB, lambda: 190 * MIB).is_tight
    assert MemoryBudget(200 * MIB, lambda: 191 * MIB).is_tight
    assert not MemoryBudget(None, lambda: 191 * MIB).is_tight


def test_after_loading_what_is_held_counts() -> None:
    assert MemoryBudget(100 * MIB, lambda: 100 * MIB).exceeded() is None
    assert MemoryBudget(None, lambda: 900 * MIB).exceeded() is None
    assert MemoryBudget(100 * MIB, lambda: 101 * MIB).exceeded() == (
        "with it the worker held 101 MiB, worker.memory_limit allows 100"
    )


def test_a_bundle_needs_what_its_figures_say_and_a_session_at_least() -> None:
    bundle = open_bundle(profiles_directory() / "bundles" / "digits")
    assert need_bytes(bundle, bundle.ladder.full) == LEAST_NEED_BYTES
    memory = machine_memory()
    assert 0 < memory.available_bytes <= memory.total_bytes
