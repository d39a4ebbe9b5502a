"""launchd starts again whatever ends in failure: what would end the same way each time must not look like one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.supervisor.exit_code import FINAL_VARIABLE, told


@pytest.mark.parametrize(
    ("code", "final", "expected"),
    [(78, "64 65 78", 0), (69, "64 65 78", 69), (8, "64 65 78", 8), (0, "64 65 78", 0), (78, "", 78)],
)
def test_only_the_final_codes_are_told_as_success(code: int, final: str, expected: int) -> None:
    assert told(code, {FINAL_VARIABLE: final}) == expected
    assert told(code, {}) == code


def test_a_bad_configuration_ends_the_job_for_good_and_says_why(tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text("devise: gate-7\n")
    environment = {**os.environ, FINAL_VARIABLE: "64 65 78"}
    command = [sys.executable, "-m", "tidegate.supervisor", str(config)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert "devise" in ended.stderr
