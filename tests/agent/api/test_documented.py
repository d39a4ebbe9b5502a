"""The examples of docs/api.md run as they stand."""

import re
from pathlib import Path

import pytest

from tidegate.paths import profiles_directory

ROOT = profiles_directory().parent
EXAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE | re.DOTALL)


def test_they_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path))
    assert len(EXAMPLES) == 2
    exec("\n".join(EXAMPLES), {})
