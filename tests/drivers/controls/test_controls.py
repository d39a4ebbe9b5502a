"""Settings that are made, refused, put back, and put back after SIGKILL."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate_drivers.controls.control import GOVERNOR, MAX_FREQUENCY, NAMES, PLATFORM_PROFILE, ControlError
from tidegate_drivers.controls.controls import Controls, Restored
from tidegate_drivers.controls.journal import Journal

WriteTree = Callable[[str], Path]

CPU = "sys/devices/system/cpu/cpufreq"
TREE = "sys/firmware/acpi/platform_profile: balanced\n"
TREE += "sys/firmware/acpi/platform_profile_choices: low-power balanced performance\n"
for number in (0, 4):
    TREE += f"{CPU}/policy{number}/scaling_governor: schedutil\n"
    TREE += f"{CPU}/policy{number}/scaling_available_governors: performance schedutil powersave\n"
    TREE += f"{CPU}/policy{number}/cpuinfo_min_freq: 600000\n{CPU}/policy{number}/cpuinfo_max_freq: 2400000\n"
    TREE += f"{CPU}/policy{number}/scaling_max_freq: {2400000 - 100000 * number}\n"


def settings(root: Path) -> list[str]:
    files = [
        *sorted((root / CPU).glob("policy*/scaling_governor")),
        *sorted((root / CPU).glob("*/scaling_max_freq")),
    ]
    return [path.read_text().strip() for path in (*files, root / "sys/firmware/acpi/platform_profile")]


@pytest.fixture
def root(write_tree: WriteTree) -> Path:
    return write_tree(TREE)


@pytest.fixture
def controls(root: Path) -> Controls:
    return Controls(root / "state/controls.json", NAMES, root)


BEFORE = ["schedutil", "schedutil", "2400000", "2000000", "balanced"]


def test_set_twice_and_put_back_to_the_beginning(root: Path, controls: Controls) -> None:
    assert settings(root) == BEFORE
    controls.set(GOVERNOR, "performance")
    controls.set(GOVERNOR, "powersave")
    controls.set(MAX_FREQUENCY, "1200000")
    controls.set(PLATFORM_PROFILE, "low-power")
    assert settings(root) == ["powersave", "powersave", "1200000", "1200000", "low-power"]
    assert controls.restore().failures == ()
    assert settings(root) == BEFORE
    assert controls.restore().failures == ()


def test_one_control_is_put_back_and_the_others_stay(root: Path, controls: Controls) -> None:
    controls.set(GOVERNOR, "performance")
    controls.set(PLATFORM_PROFILE, "low-power")
    assert controls.restore(GOVERNOR) == Restored((GOVERNOR,), ())
    assert settings(root) == [*BEFORE[:4], "low-power"]
    assert controls.restore() == Restored((PLATFORM_PROFILE,), ())
    assert controls.restore() == Restored()


def test_without_a_journal_nothing_is_set(root: Path) -> None:
    (root / "file").write_text("")
    controls = Controls(root / "file/controls.json", NAMES, root)
    with pytest.raises(ControlError, match="Not a directory"):
        controls.set(PLATFORM_PROFILE, "low-power")
    assert settings(root) == BEFORE
    (failure,) = controls.restore().failures
    assert "Not a directory" in failure


def test_everything_is_off_by_default(root: Path) -> None:
    controls = Controls(root / "controls.json", sysroot=root)
    for name in NAMES:
        with pytest.raises(ControlError, match="switched off"):
            controls.set(name, "powersave")
    assert settings(root) == BEFORE


@pytest.mark.parametrize(
    ("name", "value"),
    [(GOVERNOR, "ondemand"), (MAX_FREQUENCY, "1"), (MAX_FREQUENCY, "fast"), (PLATFORM_PROFILE, "turbo")],
)
def test_value_that_is_not_allowed_changes_nothing(root: Path, controls: Controls, name: str, value: str) -> None:
    with pytest.raises(ControlError):
        controls.set(name, value)
    assert settings(root) == BEFORE


def test_half_a_setting_is_taken_back(root: Path, controls: Controls) -> None:
    file = root / CPU / "policy4/scaling_max_freq"
    file.unlink()
    file.symlink_to("/dev/full")
    with pytest.raises(ControlError):
        controls.set(MAX_FREQUENCY, "1200000")
    assert (root / CPU / "policy0/scaling_max_freq").read_text().strip() == "2400000"


def test_crash_between_the_journal_and_the_write(root: Path, controls: Controls) -> None:
    controls.set(PLATFORM_PROFILE, "low-power")
    controls.set(PLATFORM_PROFILE, "performance")
    (root / "sys/firmware/acpi/platform_profile").write_text("low-power\n")
    assert controls.restore().failures == ()
    assert settings(root) == BEFORE


def test_what_somebody_else_set_since_is_left_alone(root: Path, controls: Controls) -> None:
    controls.set(PLATFORM_PROFILE, "low-power")
    (root / "sys/firmware/acpi/platform_profile").write_text("performance\n")
    assert controls.restore() == Restored()
    assert settings(root)[-1] == "performance"


def test_what_can_not_be_put_back_is_said_and_kept_for_the_next_try(root: Path, controls: Controls) -> None:
    controls.set(PLATFORM_PROFILE, "low-power")
    profile = root / "sys/firmware/acpi/platform_profile"
    profile.unlink()
    (failure,) = controls.restore().failures
    assert str(profile) in failure
    profile.write_text("low-power\n")
    assert controls.restore().failures == ()
    assert settings(root)[-1] == "balanced"


def test_what_somebody_else_set_is_what_they_get_back(root: Path, controls: Controls) -> None:
    profile = root / "sys/firmware/acpi/platform_profile"
    controls.set(PLATFORM_PROFILE, "low-power")
    profile.write_text("performance\n")
    controls.set(PLATFORM_PROFILE, "low-power")
    assert controls.restore() == Restored((PLATFORM_PROFILE,), ())
    assert settings(root)[-1] == "performance"


def test_value_that_was_rounded_is_put_back(
    root: Path, controls: Controls, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_write = os.write

    def rounding(descriptor: int, data: bytes) -> int:
        rounded = b"1199000" if data == b"1200000" else data
        really_write(descriptor, rounded)
        return len(data)

    monkeypatch.setattr(os, "write", rounding)
    with pytest.raises(ControlError, match="says '1199000'"):
        controls.set(MAX_FREQUENCY, "1200000")
    assert settings(root) == BEFORE
    assert controls.restore() == Restored()


def test_nothing_is_set_where_a_reboot_could_not_be_told(
    root: Path, controls: Controls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidegate_drivers.controls.journal._BOOT_ID", root / "hidden")
    with pytest.raises(ControlError, match="ProcSubset"):
        controls.set(PLATFORM_PROFILE, "low-power")
    assert settings(root) == BEFORE


def test_after_a_reboot_nothing_is_put_back(
    root: Path, controls: Controls, monkeypatch: pytest.MonkeyPatch
) -> None:
    controls.set(GOVERNOR, "powersave")
    boot = root / "boot_id"
    boot.write_text("another boot\n")
    monkeypatch.setattr("tidegate_drivers.controls.journal._BOOT_ID", boot)
    # The kernel's own default happens to be what was set before the reboot.
    assert controls.restore() == Restored()
    assert settings(root)[0] == "powersave"


KILLED_AT_EVERY_CALL = """
import os, signal, sys
from pathlib import Path
from tidegate_drivers.controls.controls import Controls

root, before = Path(sys.argv[1]), sys.argv[2].split()
files = [root / line for line in sys.argv[3].split()]
controls = Controls(root / "state/controls.json", ("cpu_governor", "platform_profile"), root)


def change(kill_at):
    calls = 0

    def counted(call):
        def counting(*arguments, **named):
            nonlocal calls
            if calls == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
            return call(*arguments, **named)
        return counting

    # A file of sysfs is changed by the write as a whole; opening it empties nothing.
    really_open, really_write = os.open, os.write

    def whole(descriptor, data):
        os.ftruncate(descriptor, 0)
        return really_write(descriptor, data)

    os.open = counted(lambda path, flags, *mode: really_open(path, flags & ~os.O_TRUNC, *mode))
    os.write = counted(whole)
    for name in ("fsync", "replace", "close"):
        setattr(os, name, counted(getattr(os, name)))
    controls.set("cpu_governor", "powersave")
    controls.set("platform_profile", "low-power")
    controls.set("cpu_governor", "performance")
    controls.restore("platform_profile")


kills = 0
while True:
    child = os.fork()
    if child == 0:
        change(kills)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    failures = controls.restore().failures
    now = [file.read_text().strip() for file in files]
    assert not failures and now == before, (kills, failures, now)
    if ended == 0:
        break
    kills += 1
print(kills)
"""


def test_killed_at_any_moment_the_next_start_puts_everything_back(root: Path) -> None:
    files = [f"{CPU}/policy{number}/scaling_governor" for number in (0, 4)]
    files.append("sys/firmware/acpi/platform_profile")
    arguments = [str(root), "schedutil schedutil balanced", " ".join(files)]
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EVERY_CALL, *arguments],
        check=False,
        timeout=60,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


KILLED = """
import os, signal, sys
from pathlib import Path
from tidegate_drivers.controls.controls import Controls
root = Path(sys.argv[1])
controls = Controls(root / "state/controls.json", ("cpu_governor", "platform_profile"), root)
controls.set("cpu_governor", "powersave")
controls.set("platform_profile", "low-power")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_next_start_puts_back_what_a_killed_agent_left(root: Path, controls: Controls) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root)], check=False, timeout=60, cwd=Path(__file__).parents[3]
    )
    assert done.returncode == -signal.SIGKILL
    assert settings(root) != BEFORE
    assert controls.restore().failures == ()
    assert settings(root) == BEFORE


def test_journal_of_another_boot_or_of_nobody_is_no_order(root: Path) -> None:
    path = root / "controls.json"
    for text in ("", "{}", '{"boot": "before", "changes": [{"file": "/x", "before": "a", "ours": ["b"]}]}', "[1]"):
        path.write_text(text)
        assert Journal(path).read() == ()
