"""What the status page is told: the state as it is, the last hours, what if; unknown stays unknown."""

import asyncio
import json
import re
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from agent_states import BARE, BUSY, LADDER
from hypothesis import given
from hypothesis import strategies as st
from web_requests import ask, codes, get

from tidegate.config import Web
from tidegate.listening.token_file import TokenError
from tidegate.policy.decision import ControlState
from tidegate.policy.schema import load_policy
from tidegate.policy.what_if import WhatIf, what_if
from tidegate.supervisor.metrics.served_totals import ServedTotals
from tidegate.supervisor.status.agent_state import AgentState
from tidegate.supervisor.status.rendering import as_status
from tidegate.supervisor.web.history import COLUMNS, History
from tidegate.supervisor.web.message import Request
from tidegate.supervisor.web.page import StatusPage
from tidegate.supervisor.web.pages import WebPages
from tidegate.supervisor.web.server import Route
from tidegate.telemetry.payloads.reported import PastVerdict
from tidegate_drivers.reading import ENERGY, Provenance, Reading, Snapshot, Unit, Value

POLICY = load_policy(
    "tidegate: 1\nname: p\nversion: 1\nmax_accuracy_loss: 5 %\n"
    "rules: [{name: low, when: {battery: {below: 20 %, until: 25 %}}, use: int8}]\n",
    "p",
)
STATIC = Path(sys.modules[StatusPage.__module__].__file__ or "").parent / "static"


def imagined(values: Mapping[str, Value]) -> WhatIf:
    return what_if(values, Snapshot(0.0), POLICY, LADDER, ControlState("full"), datetime(2026, 6, 1, tzinfo=UTC))


def page_of(state: AgentState) -> StatusPage:
    return StatusPage(lambda: state, lambda: as_status(state, None), ServedTotals, imagined, clock=lambda: 100.0)


def route_of(state: AgentState) -> Route:
    web = Web.model_construct(unix=None, tcp=0)
    return WebPages(web, page_of(state), lambda: state, ServedTotals)._answer


def document(state: AgentState) -> dict[str, object]:
    answer = page_of(state).answer(Request("GET", "/status"))
    assert answer is not None
    assert isinstance(answer.body, bytes)
    found: dict[str, object] = json.loads(answer.body)
    return found


def test_the_page_and_all_it_loads_are_served_from_here() -> None:
    answers = ask(route_of(BUSY), get("/"))
    markup = answers[0][1].decode()
    loaded = re.findall(r'(?:src|href)="([^"#]+)"', markup)
    assert len(loaded) > 5
    assert codes(ask(route_of(BUSY), *(get(f"/{name}") for name in loaded))) == ["200"] * len(loaded)
    # A policy of `default-src 'self'` runs no script and takes no style that stands in the page.
    assert not re.search(r"<script(?![^>]*\ssrc=)|\son\w+=|\sstyle=|<style", markup)


def test_scripts_make_no_markup_of_what_they_are_told() -> None:
    for name in ("page.js", "charts.js"):
        script = (STATIC / name).read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script)
        assert "http://" not in script
        assert "https://" not in script


@pytest.mark.parametrize("state", [BUSY, BARE])
def test_a_state_is_told_as_valid_json(state: AgentState) -> None:
    found = document(state)
    assert found["device"] == state.device
    now = found["now"]
    assert isinstance(now, dict)
    assert set(now) == set(COLUMNS)


def test_unknown_is_null_and_never_zero() -> None:
    now = document(replace(BARE, point=replace(BARE.point, certificate=None)))["now"]
    assert isinstance(now, dict)
    unknown = {name for name, value in now.items() if value is None}
    assert unknown == set(COLUMNS) - {"at", "rung"}


def test_verdicts_on_pushes_are_told() -> None:
    refused = PastVerdict(8, "cd" * 32, "refused", 1_800_000_000, "<b>too old</b>", "expired", 3)
    taken = PastVerdict(2, "ef" * 32, "accepted", 1_800_000_001)
    updates, bundles = replace(BUSY.updates, verdicts=(refused,)), replace(BUSY.bundles, verdicts=(taken,))
    assert document(replace(BUSY, updates=updates, bundles=bundles))["verdicts"] == [
        {"what": "policy", **asdict(refused)},
        {"what": "bundle", **asdict(taken)},
    ]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("battery=101", "allowed is a number from 0 to 100"),
        ("battery=nan", "allowed is a number"),
        ("temperature=1e999", "allowed is a number from -40 to 150"),
        ("temperature=", None),
        ("power_source=sun", "power_source as battery or external"),
        ("cpu=3", "allowed are battery and temperature"),
        ("battery=10&battery=90", "allowed is a number from 0 to 100"),
        ("&".join(f"x{number}=1" for number in range(17)), "allowed are battery and temperature"),
    ],
)
def test_a_question_says_what_may_be_asked(query: str, says: str | None) -> None:
    [(head, body)] = ask(route_of(BUSY), get(f"/what-if?{query}"))
    if says is None:
        assert codes([(head, body)]) == ["200"]
    else:
        assert codes([(head, body)]) == ["400"]
        assert says in body.decode()


def test_a_question_is_decided_by_the_policy_and_few_are_taken() -> None:
    answers = ask(route_of(BUSY), get("/what-if?battery=10"), get("/what-if?battery=90"))
    assert json.loads(answers[0][1])["point"] == "int8"
    assert codes(answers) == ["200", "429"]
    assert "Retry-After: 1" in answers[1][0]


@pytest.mark.parametrize("path", ["/nothing", "/../config.py", "/static/page.js", "//", "/page.js/"])
def test_nothing_else_is_there(path: str) -> None:
    assert codes(ask(route_of(BUSY), get(path))) == ["404"]


def test_metrics_are_there_too() -> None:
    pytest.importorskip("prometheus_client", reason="needs tidegate[metrics]")
    [(head, body)] = ask(route_of(BUSY), get("/metrics"))
    assert codes([(head, body)]) == ["200"]
    assert b"tidegate_switches_total 9.0" in body


def test_metrics_say_which_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "tidegate.supervisor.metrics.exposition", raising=False)
    [(head, body)] = ask(route_of(BUSY), get("/metrics"))
    assert codes([(head, body)]) == ["501"]
    assert b"pip install 'tidegate[metrics]'" in body


def test_a_token_that_can_not_be_sent_or_is_guessed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "web.token"
    file.write_text("short")
    web = Web.model_construct(unix=None, tcp=0, token_file=file)
    pages = WebPages(web, page_of(BUSY), lambda: BUSY, ServedTotals)

    async def serve() -> None:
        async with AsyncExitStack() as closing:
            await pages.serve(closing)

    with pytest.raises(TokenError, match=r"web\.token: no token that can be sent and not be guessed"):
        asyncio.run(serve())


def metered(joules: float | None) -> AgentState:
    if joules is None:
        return BUSY
    energy = Reading(joules, Unit.JOULE, 99.0, Provenance.MEASURED, "x")
    return replace(BUSY, snapshot=Snapshot(100.0, {**BUSY.snapshot.readings, ENERGY: energy}))


def test_energy_is_told_per_sample_where_both_are_known() -> None:
    history = History()
    rows: list[tuple[float | None, int]] = [(10.0, 0), (12.0, 4), (13.0, 4), (None, 8), (20.0, 9), (5.0, 10)]
    for index, (joules, samples) in enumerate(rows):
        history.note(metered(joules), ServedTotals(samples=samples), index * 10.0)
    assert history.columns()["energy_mj"] == [None, 500.0, None, None, None, None]


def test_a_row_is_due_when_the_last_is_old() -> None:
    history = History()
    assert history.due(0.0)
    history.note(BUSY, ServedTotals(), 0.0)
    assert not history.due(5.0)
    assert history.due(10.0)


@given(st.integers(1, 7), st.integers(0, 20))
def test_the_ring_keeps_the_last_rows_in_order(rows: int, noted: int) -> None:
    history = History(rows)
    for index in range(noted):
        history.note(replace(BUSY, at=float(index)), ServedTotals(), index * 10.0)
    columns = history.columns()
    assert columns["at"] == [float(index) for index in range(max(0, noted - rows), noted)]
    assert {len(column) for column in columns.values()} == {min(rows, noted)}
