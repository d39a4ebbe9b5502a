"""Each verb in a home of its own, with programs that stand for Python, pip and systemd."""

import fcntl
import multiprocessing
import shutil
from pathlib import Path

import pytest
from fake_service_world import World, run_verb

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "fake_service_world"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world")


def verb(world: World, *arguments: str) -> tuple[int, str]:
    said = world.directory / "said"
    process = PROCESSES.Process(target=run_verb, args=(world, (*arguments, "--user"), None, said))
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode, said.read_text()


def install(world: World, name: str = "one", *more: str) -> tuple[int, str]:
    return verb(world, "service", "--wheels", str(world.directory / name), "--trial", "0", *more)


def files(world: World) -> list[Path]:
    return sorted(path for path in world.home.rglob("*") if not path.is_dir())


def test_a_dry_run_prints_whole_files_and_changes_nothing(world: World) -> None:
    code, said = install(world, "one", "--dry-run", "--broker", "mqtts://me@there")
    assert code == 0
    assert "ExecStart=" in said
    assert 'broker: {host: "there", port: 8883, username: "me", tls: {}}' in said
    assert (files(world), world.asked()) == ([], ["show-environment"])


def test_again_restarts_nothing_and_leaves_what_was_edited(world: World) -> None:
    assert install(world)[0] == 0
    world.config.write_text(world.config.read_text() + "# mine\n")
    world.asked()
    assert install(world)[0] == 0
    assert world.asked() == ["show-environment"]
    assert world.config.read_text().endswith("# mine\n")


def test_a_changed_configuration_is_read_before_the_service_starts_anew(world: World) -> None:
    install(world)
    world.asked()
    code, said = verb(world, "apply")
    assert (code, "is in force: 20 of 20 canaries right" in said) == (0, True), said
    assert world.asked()[-1] == "restart tidegate.service"


def test_a_configuration_that_is_not_taken_restarts_nothing(world: World) -> None:
    install(world, "picky")
    world.asked()
    code, said = verb(world, "apply")
    assert (code, "listen: gone since" in said, world.asked()) == (69, True, [])


def test_the_folder_of_wheels_is_remembered(world: World) -> None:
    install(world)
    first = world.running
    shutil.copy(next((world.directory / "two").glob("*.whl")), world.directory / "one")
    code, said = verb(world, "upgrade", "--trial", "0")
    assert code == 0, said
    assert world.running != first
    assert verb(world, "rollback")[0] == 0
    assert world.running == first


def test_extras_are_installed_remembered_and_taken_away(world: World) -> None:
    def requirements() -> str:
        return (world.prefix / "current" / "requirements.txt").read_text()

    assert install(world, "one", "--extras", "video,frigate")[0] == 0
    with_extras = world.current
    assert requirements() == "# one\n# frigate\n# video\n"
    assert verb(world, "upgrade", "--trial", "0")[0] == 0
    assert world.current == with_extras
    assert verb(world, "upgrade", "--trial", "0", "--wheels", str(world.directory / "two"))[0] == 0
    assert requirements() == "# two\n# frigate\n# video\n"
    assert install(world, "one", "--extras", "none")[0] == 0
    assert requirements() == "# one\n"
    code, said = install(world, "one", "--extras", "torch")
    assert (code, "found torch; allowed are frigate, nvidia, pictures, video, or none" in said) == (64, True)


def test_versions_that_nothing_goes_back_to_are_removed(world: World) -> None:
    install(world)
    install(world, "two")
    first = world.running
    install(world, "broken")
    install(world, "one")
    assert {path.name for path in (world.prefix / "versions").iterdir()} == {first, world.running}


def test_an_environment_whose_python_is_gone_is_made_anew(world: World) -> None:
    install(world)
    (world.prefix / "current/bin/python").unlink()
    assert "is broken, or its Python is gone" in verb(world, "status")[1]
    assert install(world)[0] == 0
    assert (world.prefix / "current/bin/python").exists()
    assert verb(world, "status")[0] == 0


def test_no_space_says_so_and_the_version_before_runs_on(world: World) -> None:
    install(world)
    before = world.running
    world.environment["FAKE_PIP_FAILS"] = "OSError: [Errno 28] No space left on device"
    code, said = install(world, "two")
    assert (code, world.running, world.current) == (69, before, before)
    assert "no space left" in said
    del world.environment["FAKE_PIP_FAILS"]
    assert install(world, "two")[0] == 0


def test_a_bundle_that_is_refused_touches_nothing_that_runs(world: World) -> None:
    install(world)
    served = (world.prefix / "bundle").readlink()
    refused = world.directory / "refused"
    refused.mkdir()
    (refused / "bundle.json").write_text("{}")
    world.asked()
    code, said = install(world, "one", "--bundle", str(refused))
    assert (code, "not valid" in said) == (69, True), said
    assert (world.prefix / "bundle").readlink() == served
    assert world.asked() == ["show-environment"]


def test_a_version_that_does_not_take_the_configuration_is_not_switched_to(world: World) -> None:
    install(world)
    before = world.running
    world.asked()
    code, said = install(world, "picky")
    assert (code, world.running, world.current) == (69, before, before)
    assert "the new version does not take this configuration" in said
    assert "listen: gone since" in said
    assert world.asked() == ["show-environment"]
    assert install(world, "two")[0] == 0


def test_where_the_version_before_does_not_take_it_either_the_trial_tells(world: World) -> None:
    install(world, "picky")
    code, said = install(world, "picky", "--policy", str(world.config.with_name("policy.yaml")))
    assert code == 0, said
    shutil.copy(
        next((world.directory / "one").glob("*.whl")), world.directory / "picky" / "tidegate-2.0-picky.whl"
    )
    code, said = install(world, "picky")
    assert code == 0, said


@pytest.mark.parametrize("without", [False, True])
def test_the_pip_that_is_there_installs_else_each_version_gets_its_own(world: World, without: bool) -> None:
    if without:
        world.environment["FAKE_NO_PIP"] = "1"
    code, said = install(world, "one", "--dry-run")
    assert code == 0, said
    assert ("--without-pip" in said) is not without
    assert ("-m pip --python " in said) is not without
    assert install(world)[0] == 0


def test_a_machine_without_systemd_is_told_what_else_there_is(world: World) -> None:
    (world.directory / "booted").rmdir()
    code, said = install(world)
    assert (code, files(world)) == (69, [])
    assert "systemd does not run this machine" in said
    assert "./install.sh run -- run --config agent.yaml" in said


def test_two_installations_do_not_mix(world: World) -> None:
    install(world)
    with (world.prefix.parent / ".tidegate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, said = install(world, "two")
    assert (code, "another installation is at work" in said) == (69, True)
    assert install(world, "two")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("upgrade",), 64, "nothing is installed"),
        (("apply",), 64, "nothing is installed"),
        (("rollback",), 69, "no version to go back to"),
        (("status",), 69, "nothing is installed"),
        (("service", "--broker", "http://there"), 64, "allowed is mqtt://"),
        (("service", "--broker", "mqtt://me:secret@there"), 64, "--broker-password-file"),
        (("service", "--policy", "/nowhere.yaml"), 64, "/nowhere.yaml: No such file"),
        (("service", "--wheels", "/nowhere"), 69, "./install.sh wheels /nowhere"),
    ],
)
def test_what_can_not_be_done_is_said_and_nothing_is_made(
    world: World, arguments: tuple[str, ...], code: int, words: str
) -> None:
    ended, said = verb(world, *arguments)
    assert (ended, words in said) == (code, True), said
    assert "secret" not in said
    assert files(world) == []
