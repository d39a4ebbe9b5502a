"""Killed before every step of each verb: what served goes on serving, and the verb is finished by the next try."""

import shutil
import signal
from pathlib import Path

import pytest
from fake_service_world import World, run_verb
from forked import PROCESSES


def verb(world: World, *arguments: str, die_before: int | None = None) -> tuple[int, str]:
    """Exit code, negative for a signal, and what was said."""
    said = world.directory / "said"
    process = PROCESSES.Process(target=run_verb, args=(world, (*arguments, "--user"), die_before, said))
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode, said.read_text()


class Kept:
    """A world as it is now, to be had again at the same place as often as it takes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._copy = world.directory.with_name("kept")
        shutil.copytree(world.directory, self._copy, symlinks=True)

    def again(self) -> World:
        shutil.rmtree(self._world.directory)
        shutil.copytree(self._copy, self._world.directory, symlinks=True)
        return self._world


def steps_of(world: World) -> int:
    return int((world.directory / "steps").read_text())


def install(world: World, name: str, die_before: int | None = None) -> tuple[int, str]:
    return verb(world, "service", "--wheels", str(world.directory / name), "--trial", "0", die_before=die_before)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


@pytest.mark.parametrize(("uv", "every"), [(False, 1), (True, 4)])  # by uv only who fills the environment differs
def test_an_installation_killed_before_any_step_is_finished_by_the_next(
    tmp_path: Path, uv: bool, every: int
) -> None:
    world = World(tmp_path / "world", uv=uv)
    nothing = Kept(world)
    assert install(world, "one")[0] == 0
    count, wanted = steps_of(world), world.running
    assert count > 15
    for step in range(0, count, every):
        nothing.again()
        assert install(world, "one", die_before=step)[0] == -signal.SIGKILL
        assert world.current in {None, wanted}
        code, said = install(world, "one")
        assert (code, world.running) == (0, wanted), f"killed before step {step}: {said}"
        # Nothing half made is left beside what was wanted.
        assert {path.name for path in (world.prefix / "versions").iterdir()} == {wanted}
        assert not [path for path in world.home.rglob("*") if path.name.endswith((".new", ".old"))]


def test_an_upgrade_killed_before_any_step_leaves_a_version_that_runs(world: World) -> None:
    install(world, "one")
    installed, old = Kept(world), world.running
    assert install(world, "two")[0] == 0
    count, new = steps_of(world), world.running
    assert new != old
    assert verb(world, "rollback")[0] == 0
    assert world.running == old
    for step in range(count):
        installed.again()
        assert install(world, "two", die_before=step)[0] == -signal.SIGKILL
        link = world.prefix / "current"
        assert (link / "complete").exists(), f"killed before step {step}: {link} is half made"
        code, said = install(world, "two")
        assert (code, world.running) == (0, new), f"killed before step {step}: {said}"
        assert (world.prefix / "previous").readlink().name == old


def test_an_upgrade_to_a_version_that_does_not_run_killed_before_any_step(world: World) -> None:
    install(world, "one")
    installed, old = Kept(world), world.running
    code, said = install(world, "broken")
    assert (code, world.running) == (69, old)
    assert "what the journal says" in said
    for step in range(steps_of(world)):
        installed.again()
        assert install(world, "broken", die_before=step)[0] == -signal.SIGKILL
        broken = world.current != old
        # Then the unit's ExecStopPost= takes the link back; all that it needs lies there.
        assert not broken or (world.prefix / (world.prefix / "trial").read_text().strip()).name == old
        code, said = install(world, "one")
        assert (code, world.running) == (0, old), f"killed before step {step}: {said}"


def test_a_way_back_killed_before_any_step_leaves_a_version_that_runs(world: World) -> None:
    install(world, "one")
    old = world.running
    install(world, "two")
    upgraded = Kept(world)
    assert verb(world, "rollback")[0] == 0
    for step in range(steps_of(world)):
        upgraded.again()
        assert verb(world, "rollback", die_before=step)[0] == -signal.SIGKILL
        assert (world.prefix / "current/complete").exists()
        code, said = install(world, "one")
        assert (code, world.running) == (0, old), f"killed before step {step}: {said}"


def test_uninstall_killed_before_any_step_is_finished_by_the_next(world: World) -> None:
    install(world, "one")
    installed = Kept(world)
    assert verb(world, "uninstall")[0] == 0
    for step in range(steps_of(world)):
        installed.again()
        assert verb(world, "uninstall", die_before=step)[0] == -signal.SIGKILL
        assert verb(world, "uninstall")[0] == 0
        assert [path for path in world.home.rglob("*") if not path.is_dir()] == [], f"killed before step {step}"
