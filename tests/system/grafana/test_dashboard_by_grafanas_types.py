"""Grafana's own published types allow the dashboard, in units that Grafana knows, and refuse broken ones."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidegate.paths import profiles_directory

pytestmark = pytest.mark.grafana

PACKAGES = Path(__file__).parents[3] / "build" / "grafana"
TYPE = Path(__file__).with_name("dashboard_file.ts")
DASHBOARD = profiles_directory() / "grafana" / "agents.json"
STRICT = ("--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck", "--module", "nodenext")


def shipped() -> Any:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


def refusal(dashboard: Any, directory: Path) -> str:
    """What TypeScript's compiler says against a dashboard, with the lines it means; empty if nothing."""
    compiler = PACKAGES / "node_modules" / ".bin" / "tsc"
    if not compiler.exists():
        pytest.fail(f"needs {compiler}: make dashboard")
    (directory / "node_modules").symlink_to(PACKAGES / "node_modules")
    shutil.copy(TYPE, directory)
    checked = directory / "checked.ts"
    checked.write_text(
        'import type { DashboardFile } from "./dashboard_file.js";\n'
        f"export const dashboard: DashboardFile = {json.dumps(dashboard, indent=1)};\n"
    )
    command = [compiler, *STRICT, checked.name]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode == 0) == (not done.stdout), done.stdout + done.stderr
    lines = checked.read_text().splitlines()
    return done.stdout + "\n".join(lines[int(found) - 1] for found in re.findall(r"ts\((\d+),", done.stdout))


def test_grafanas_types_allow_the_dashboard(tmp_path: Path) -> None:
    assert refusal(shipped(), tmp_path) == ""


def misspell(dashboard: Any) -> None:
    dashboard["panels"][0]["gridpos"] = dashboard["panels"][0].pop("gridPos")


def write_as_text(dashboard: Any) -> None:
    dashboard["schemaVersion"] = "39"


def place_the_legend_nowhere(dashboard: Any) -> None:
    dashboard["panels"][3]["options"]["legend"]["placement"] = "below"


def hide_whether_there_is_a_legend(dashboard: Any) -> None:
    del dashboard["panels"][3]["options"]["legend"]["showLegend"]


def forget_a_query(dashboard: Any) -> None:
    del dashboard["panels"][5]["targets"][0]["expr"]


def refresh_variables_sometimes(dashboard: Any) -> None:
    dashboard["templating"]["list"][1]["refresh"] = 7


def name_the_source_alone(dashboard: Any) -> None:
    dashboard["panels"][1]["targets"][0]["datasource"] = "Prometheus"


@pytest.mark.parametrize(
    ("break_it", "named"),
    [
        (misspell, "gridpos"),
        (write_as_text, "schemaVersion"),
        (place_the_legend_nowhere, "placement"),
        (hide_whether_there_is_a_legend, "showLegend"),
        (forget_a_query, "expr"),
        (refresh_variables_sometimes, "refresh"),
        (name_the_source_alone, "datasource"),
    ],
)
def test_they_refuse_a_broken_one(break_it: Callable[[Any], None], named: str, tmp_path: Path) -> None:
    dashboard = shipped()
    break_it(dashboard)
    assert named in refusal(dashboard, tmp_path)


def test_grafana_knows_the_units_and_the_queries() -> None:
    """Unknown units are drawn as text behind the number, and nobody is told."""
    try:
        from grafana_foundation_sdk.models import units  # noqa: PLC0415 - an extra
        from grafana_foundation_sdk.models.prometheus import Dataquery  # noqa: PLC0415
    except ModuleNotFoundError:
        pytest.fail("needs grafana-foundation-sdk: make dashboard")
    known = {value for name, value in vars(units).items() if name[0].isupper() and isinstance(value, str)}
    used = {panel["fieldConfig"]["defaults"]["unit"] for panel in shipped()["panels"]}
    assert {"percentunit", "celsius", "watt"} <= used
    assert used <= known
    assert "degrees" not in known
    queries = [target for panel in shipped()["panels"] for target in panel["targets"]]
    assert [Dataquery.from_json(query).to_json() for query in queries] == queries
