"""/metrics: what Prometheus reads of a state, what is left out as unknown, and a dashboard that asks for that."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("prometheus_client", reason="needs tidegate[metrics]")

from agent_states import BARE, BUSY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from tidegate.messages import ModelServed, Served, ShadowCount
from tidegate.paths import profiles_directory
from tidegate.supervisor.metrics.exposition import exposition
from tidegate.supervisor.metrics.served_totals import ModelTotals, ServedTotals
from tidegate.supervisor.models.model_status import LoadState, ModelStatus
from tidegate.supervisor.status.agent_state import AgentState
from tidegate_drivers.reading import Provenance, Reading, Snapshot, Unit

TOTALS = ServedTotals(100, 2, 3, 120, {"int8": (50, 1)})
DASHBOARD = profiles_directory() / "grafana" / "agents.json"


def samples(state: AgentState, accept: str = "") -> dict[str, float]:
    """By name and labels as Prometheus reads them."""
    kind, body = exposition(lambda: state, lambda: TOTALS)(accept)
    read = read_openmetrics if "openmetrics" in kind else read_text
    return {
        sample.name + "".join(f" {key}={value}" for key, value in sorted(sample.labels.items())): sample.value
        for family in read(body.decode())
        for sample in family.samples
    }


def metered() -> AgentState:
    readings = {
        "battery": Reading(12.0, Unit.PERCENT, 99.0, Provenance.MEASURED, "x"),
        "temperature": Reading(61.5, Unit.CELSIUS, 99.0, Provenance.MEASURED, "x"),
        "power": Reading(6.5, Unit.WATT, 99.0, Provenance.MEASURED, "x"),
        "memory_available": Reading(1e9, Unit.BYTE, 99.0, Provenance.MEASURED, "x"),
        "cpu": Reading(40.0, Unit.PERCENT, 99.0, Provenance.MEASURED, "x"),
        "power_source": Reading("battery", Unit.NAME, 99.0, Provenance.MEASURED, "x"),
        "energy": Reading(4321.5, Unit.JOULE, 99.0, Provenance.MEASURED, "x"),
    }
    return replace(
        BUSY,
        snapshot=Snapshot(100.0, readings),
        received=9,
        heard={("input", "refused"): 4, ("push", "put off"): 1},
        latest_step_s=0.015,
    )


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text; version=1.0.0"])
def test_prometheus_reads_units_as_its_conventions_have_them(accept: str) -> None:
    found = samples(metered(), accept)
    assert {
        "tidegate_requests_total": 100.0,
        "tidegate_requests_turned_away_total": 3.0,
        "tidegate_energy_joules_total": 4321.5,
        "tidegate_battery_ratio": 0.12,
        "tidegate_temperature_celsius": 61.5,
        "tidegate_power_watts": 6.5,
        "tidegate_memory_available_bytes": 1e9,
        "tidegate_reading name=cpu unit=%": 40.0,
        "tidegate_certified_risk_ratio": 0.01,
        "tidegate_operating_point point=int8": 1.0,
        "tidegate_operating_point point=full": 0.0,
        "tidegate_operating_point_rung": 1.0,
        "tidegate_switches_total": 9.0,
        "tidegate_worker_restarts_total": 3.0,
        "tidegate_inference_latency_seconds quantile=0.95": 0.0025,
        "tidegate_shadow_disagreements_total point=int8": 1.0,
        "tidegate_spool_rows_dropped_total reason=age": 2.0,
        "tidegate_broker_connected": 0.0,
        "tidegate_pushes_refused_total kind=expired": 3.0,
        "tidegate_messages_received_total": 9.0,
        "tidegate_messages_heard_total fate=refused kind=input": 4.0,
        "tidegate_messages_heard_total fate=put off kind=push": 1.0,
        "tidegate_control_step_late_seconds": 0.015,
    }.items() <= found.items()


def test_unknown_has_no_sample() -> None:
    bare = replace(BARE, point=replace(BARE.point, certificate=None))
    names = {name.split()[0] for name in samples(bare)}
    assert not names & {
        "tidegate_certified_risk_ratio",
        "tidegate_energy_joules_total",
        "tidegate_battery_ratio",
        "tidegate_spool_rows_put_total",
        "tidegate_broker_connected",
        "tidegate_inference_latency_seconds",
        "tidegate_control_step_late_seconds",
        "tidegate_messages_received_total",
        "tidegate_messages_heard_total",
    }
    assert "tidegate_worker_serving" in names


def test_each_model_has_its_own_samples_and_none_of_what_is_unknown() -> None:
    main = ModelStatus("digits", True, "READY", "ab", "/a", point="int8", certified_risk=0.01, requests=7)
    gone = LoadState.EVICTED
    resting = ModelStatus("plates", False, "UNAVAILABLE", "cd", "/b", "it made room", True, load_state=gone)
    late = replace(main, latency_p95_ms=2.5, weights_resident_bytes=4096)
    found = samples(replace(BUSY, models=(late, resting)))
    assert {
        "tidegate_model_ready model=digits": 1.0,
        "tidegate_model_ready model=plates": 0.0,
        "tidegate_model_state model=digits state=loaded": 1.0,
        "tidegate_model_state model=plates state=loaded": 0.0,
        "tidegate_model_state model=plates state=evicted": 1.0,
        "tidegate_model_requests_total model=digits": 7.0,
        "tidegate_model_operating_point model=digits point=int8": 1.0,
        "tidegate_model_certified_risk_ratio model=digits": 0.01,
        "tidegate_model_latency_seconds model=digits quantile=0.95": 0.0025,
        "tidegate_model_weights_resident_bytes model=digits": 4096.0,
    }.items() <= found.items()
    unknown = ("operating_point", "certified_risk", "latency", "weights")
    assert not [name for name in found if "model=plates" in name and any(each in name for each in unknown)]


def test_windows_of_further_models_add_up_by_name() -> None:
    window = Served(
        1, 2.0, 0, 0, 0, None, None, None, 0, models=(ModelServed("plates", 3, 1, 4, 1.0, 2.0, None, 9),)
    )
    twice = TOTALS.plus(window).plus(window)
    assert twice.models == {"plates": ModelTotals(6, 2, 8)}
    assert twice.requests == TOTALS.requests


def test_windows_add_up() -> None:
    served = Served(
        1, 2.0, 20, 1, 21, 1.5, 2.5, None, 4096, 2, (ShadowCount("int8", 5, 1), ShadowCount("skip", 1, 0))
    )
    assert TOTALS.plus(served) == ServedTotals(120, 3, 5, 141, {"int8": (55, 2), "skip": (1, 0)})


def expressions(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in {"expr", "query"} and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for each in node:
            yield from expressions(each)


def test_the_dashboard_asks_for_no_metric_that_is_not_there() -> None:
    there = {name.split()[0] for name in samples(metered())}
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = {name for text in expressions(dashboard) for name in re.findall(r"tidegate_\w+", text)}
    assert len(asked) > 15
    assert asked - there == set()
    labels = {label for text in expressions(dashboard) for label in re.findall(r"\{(\w+)=", text)}
    assert labels == {"instance"}, "what Prometheus itself gives to each target"


def test_its_legends_name_labels_that_the_metrics_have() -> None:
    there = {(name.split()[0], label) for name in samples(metered()) for label in re.findall(r" (\w+)=", name)}
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    named = {
        (metric, label)
        for target in (target for panel in panels for target in panel["targets"])
        for metric in re.findall(r"tidegate_\w+", target["expr"])
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        if label != "instance"
    }
    assert ("tidegate_spool_rows_dropped_total", "reason") in named
    assert named <= there


def test_its_panels_lie_beside_each_other() -> None:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in panels)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
