"""The documentation builds as a site without a warning, has every page, and fetches nothing from elsewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mkdocs", reason="needs tidegate[docs]: make docs installs it")

ROOT = Path(__file__).parent.parent
LIMIT_BYTES = 6_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(built)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return built


def test_every_page_is_there(site: Path) -> None:
    pages = {file.relative_to(ROOT / "docs").with_suffix(".html") for file in (ROOT / "docs").rglob("*.md")}
    written = {Path("reference") / name for name in ("commands.html", "agent-yaml.html", "policy-yaml.html")}
    assert {*pages, *written, Path("contributing.html")} <= {
        file.relative_to(site) for file in site.rglob("*.html")
    }


def test_the_reference_is_written_from_the_program(site: Path) -> None:
    commands = (site / "reference" / "commands.html").read_text()
    assert "tidegate policy push [OPTIONS] FILE" in commands
    assert "keep_resident" in (site / "reference" / "agent-yaml.html").read_text()
    assert "max_accuracy_loss" in (site / "reference" / "policy-yaml.html").read_text()


def test_it_is_small_and_fetches_nothing(site: Path) -> None:
    assert sum(file.stat().st_size for file in site.rglob("*")) < LIMIT_BYTES
    for page in site.rglob("*.html"):
        assert not re.search(r'<(script|img|iframe)[^>]+src="https?:', page.read_text()), page
        fetched = re.findall(
            r'<link[^>]+rel="(?:stylesheet|preload|icon)"[^>]+href="(https?:[^"]+)', page.read_text()
        )
        assert not fetched, page
