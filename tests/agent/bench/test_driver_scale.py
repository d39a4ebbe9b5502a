"""The table in the documentation is the one that the command prints."""

import json
from pathlib import Path

import pytest

from tidegate_bench.drivers import cost, scale
from tidegate_bench.drivers.scale import HEADING, ROOT, driver_levels, table
from tidegate_drivers.catalog import LINUX


def test_documented_scale_is_what_the_drivers_show() -> None:
    documentation = (ROOT / "docs/drivers.md").read_text()
    shown = documentation[documentation.index(HEADING) :].strip()
    assert shown == table(driver_levels()), "print it anew: python -m tidegate_bench.drivers.scale"


def test_linux_drivers_are_silver_at_least_and_the_others_bronze() -> None:
    scales = {each.name: each.scale for each in driver_levels()}
    assert {scales[driver.name] for driver in LINUX} <= {"silver", "gold"}
    assert "-" not in scales.values()


def test_report_of_a_device_makes_gold_of_the_drivers_that_worked_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "gold" not in {each.scale for each in driver_levels()}
    (tmp_path / "docs/hardware").mkdir(parents=True)
    (tmp_path / "docs/drivers.md").write_text((ROOT / "docs/drivers.md").read_text())
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    worked, failed = {"readings": {"cpu": {"value": 3.0}}}, {"readings": {"power": {"value": None}}}
    report = {"drivers": {"cpu": worked, "rapl": failed}}
    (tmp_path / "docs/hardware/thinkpad.json").write_text(json.dumps(report))
    monkeypatch.setattr(scale, "ROOT", tmp_path)
    assert {each.name for each in driver_levels() if each.scale == "gold"} == {"cpu"}


def test_cost_of_every_linux_driver_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "_ROUNDS", 1)
    assert cost.costs_us().keys() == {driver.name for driver in LINUX}
