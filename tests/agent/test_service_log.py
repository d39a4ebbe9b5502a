"""A line for journald carries its priority; one for a person its time and level."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidegate.service_log import JournalFormatter

SAY = """
import logging
from tidegate.service_log import log_to_standard_error
log_to_standard_error("worker")
logging.getLogger("x").error("two\\nlines")
"""


@pytest.mark.parametrize(
    ("level", "number"),
    [(logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.DEBUG, 7)],
)
def test_levels_are_syslogs_priorities(level: int, number: int) -> None:
    record = logging.LogRecord("x", level, __file__, 1, "said", (), None)
    assert JournalFormatter("%(message)s").format(record) == f"<{number}>said"


@pytest.mark.parametrize("journal", [True, False])
def test_journald_gets_a_prefix_on_every_line_and_nobody_else(tmp_path: Path, journal: bool) -> None:
    with (tmp_path / "log").open("wb") as log:
        found = os.fstat(log.fileno())
        named = f"{found.st_dev}:{found.st_ino}" if journal else "1:1"
        environment = {**os.environ, "JOURNAL_STREAM": named}
        subprocess.run([sys.executable, "-c", SAY], stderr=log, env=environment, check=True, timeout=60)
    lines = (tmp_path / "log").read_text().splitlines()
    if journal:
        assert lines == ["<3>worker two", "<3>lines"]
    else:
        assert lines[0].endswith(" worker ERROR two")
