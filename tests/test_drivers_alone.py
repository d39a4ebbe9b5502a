"""`tidegate_drivers` stands alone: its own tests, run where `tidegate` and `tidegate_bench` can't be imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent
BLOCKED = ("tidegate", "tidegate_bench")
NOT_ALONE = {
    "test_hardware_report.py": "the report names the machine as the benchmarks do",
    "meters/test_meter_on_broker.py": "its broker is the one that tidegate.fleet starts",
    "linux/test_uevent_storm.py": "the storm is a benchmark's",
}
"""What of tests/drivers needs the rest of the repository, and why."""
NOT_AGAIN = {
    "apple/test_formats.py": "seconds of random bytes",
    "test_trace.py": "seconds of random texts",
    "controls/test_controls.py": "kills a process before each of its system calls",
    "linux/test_on_true_sys_paths.py": "starts a program for each device",
    "meters/test_nut.py": "starts a server for each test",
}
"""What takes long, and is left to the run beside this one: none of it imports more than the others do."""


def test_the_drivers_tests_pass_without_the_agent(tmp_path: Path) -> None:
    for name in BLOCKED:
        # Before the source roots on the path, for the tests and for every process that they start.
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is blocked: drivers stand alone')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT / "drivers")))}
    for name in BLOCKED:
        blocked = subprocess.run(
            [sys.executable, "-c", f"import {name}"], env=environment, capture_output=True, check=False
        )
        assert b"is blocked" in blocked.stderr
    left_out = [f"--ignore=tests/drivers/{name}" for name in (*NOT_ALONE, *NOT_AGAIN)]
    pytest_alone = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=ci"]
    done = subprocess.run(
        [*pytest_alone, "--confcutdir=tests/drivers", *left_out, "tests/drivers"],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert int(done.stdout.rpartition(" passed")[0].split()[-1]) > 500


def test_what_is_left_out_is_there_and_knows_the_agent_or_not_as_said() -> None:
    for name in (*NOT_ALONE, *NOT_AGAIN):
        text = (ROOT / "tests/drivers" / name).read_text()
        knows = any(f"from {blocked}." in text or f'"{blocked}.' in text for blocked in BLOCKED)
        assert knows or name in NOT_AGAIN or name == "test_hardware_report.py", name
        assert not (knows and name in NOT_AGAIN), name
