"""The status page as people meet it: in Chromium, live, by keyboard, in the dark, on a phone; and by axe-core.

`make browser` runs this with what it takes; with TIDEGATE_SCREENSHOTS=DIR it leaves its pictures there.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from agent_process import AgentProcess
from headless_chromium import (
    LOOKS,
    chromium_at,
    judged_by_axe,
    keep,
    loaded_from,
    resize,
    sticks_out_px,
    text,
    wait_for,
)

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(400)]

EVIL = "<img src=x onerror=\"document.title='owned'\">"
POLICY = f"""\
tidegate: 1
name: '{EVIL}'
version: 1
max_accuracy_loss: 5 %
rules:
  - name: '{EVIL.replace("'", "''")}'
    when: {{all: [{{battery: {{below: 60 %, until: 65 %}}}}, {{power_source: battery}}]}}
    use: int8
dwell: {{down: 0 s, up: 0 s}}
""".replace(f"name: '{EVIL}'", "name: " + "a-name-as-long-as-they-come-" * 2 + "x")
DAY = """\
time_s,battery_percent,power_source,temperature_c,power_w
0,90,battery,40,6
60,90,battery,40,6
70,50,battery,55,4
3600,40,battery,55,4
"""


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """An agent whose replayed battery falls below its policy's limit a minute after its start."""
    directory = tmp_path_factory.mktemp("agent")
    (directory / "policy.yaml").write_text(POLICY)
    (directory / "day.csv").write_text(DAY)
    replay = {"trace": str(directory / "day.csv")}
    door = {"name": "door", "from": {"lines": "door.pipe"}, "to": {"lines": "door.jsonl"}}
    started = AgentProcess(directory, None, {"web": {"tcp": 0}, "replay": replay, "streams": [door]})
    started.start()
    yield started
    started.end()


@pytest.fixture(scope="module")
def browser(agent: AgentProcess) -> Iterator[Any]:
    with chromium_at(agent.status().web_address) as opened:
        yield opened


def test_it_follows_the_battery_down_the_ladder(browser: Any) -> None:
    wait_for(browser, "#connection", "Live")
    assert wait_for(browser, "#device", "camera-1") == "camera-1"
    assert "no frame since the worker began" in wait_for(browser, "#streams", "door.pipe")
    before = int(wait_for(browser, "#now dd.value", "%").split()[0])
    wait_for(browser, "#ladder tr[aria-current]", "int8")
    after = int(text(browser, "#now dd.value").split()[0])
    assert after < 60 <= before
    assert text(browser, "#announcement") == "The operating point is now int8."
    assert "battery" in text(browser, "#decision")
    assert "→ int8" in text(browser, "#events")
    assert wait_for(browser, "#charts figcaption", "between").startswith("Battery:")


def test_what_is_unknown_is_called_unknown(browser: Any) -> None:
    tiles = wait_for(browser, "#now", "Energy per answer")
    assert "Latency, p95unknown" in tiles
    assert "Energy per answerunknown" in tiles
    assert "Unknown: nothing was read in this time." in wait_for(browser, "#charts", "Energy per answer")


def test_what_if_is_asked_by_keyboard(browser: Any) -> None:
    slider = browser.find_element("css selector", "input[name=battery]")
    switches = text(browser, "#footer").split(",")[2]
    slider.send_keys("\ue010")  # End: 100 %
    wait_for(browser, "#what-if-answer", "It would switch from int8 to full at once")
    assert slider.get_attribute("aria-valuetext") == "100 %"
    slider.send_keys("\ue011")  # Home: 0 %
    wait_for(browser, "#what-if-answer", "It would stay at int8")
    assert text(browser, "#footer").split(",")[2] == switches, "nothing is changed by asking"


def test_names_are_text(browser: Any) -> None:
    assert EVIL in wait_for(browser, "#why", "<img")
    assert browser.execute_script("return document.images.length") == 0
    assert browser.title.startswith("camera-1: int8")


@LOOKS
def test_axe_finds_nothing_serious_and_nothing_sticks_out(
    browser: Any, name: str, width: int, scheme: str
) -> None:
    resize(browser, width, 1000, scheme)
    wait_for(browser, "#connection", "Live")
    keep(browser, f"status-page-{name}")
    serious, kept = judged_by_axe(browser)
    assert serious == []
    assert kept > 15
    assert sticks_out_px(browser) <= 0


def test_a_clock_that_was_set_back_leaves_rows_of_this_time_alone(browser: Any) -> None:
    times = browser.execute_script("""
        const drawn = new Charts(document.createElement("div"));
        const kept = [100, 110, 500, 510, 120, 130];
        const rows = COLUMNS.map((key) => [key, key === "at" ? kept : kept.map(() => 1)]);
        drawn.begin({ every_s: 10, ...Object.fromEntries(rows) });
        const row = (at) => Object.fromEntries(COLUMNS.map((key) => [key, key === "at" ? at : 1]));
        const seen = [[...drawn.rows.at]];
        for (const at of [132, 134, 141, 143, 90]) {
          drawn.add(row(at));
          seen.push([...drawn.rows.at]);
        }
        return seen;
    """)
    assert times[0] == [100, 110, 120, 130]
    assert times[2] == [100, 110, 120, 130, 134], "a newer one takes the place of one that is not ten seconds old"
    assert times[4] == [100, 110, 120, 130, 134, 143]
    assert times[5] == [90]


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_complained_about(browser: Any) -> None:
    loaded = loaded_from(browser)
    origin = browser.execute_script("return location.origin")
    assert len(loaded) > 7
    assert [each for each in loaded if not each.startswith(origin)] == []
    assert browser.get_log("browser") == []


def test_a_lost_agent_is_said_to_be_lost(browser: Any, agent: AgentProcess) -> None:
    agent.kill()
    assert "this is how it was at" in wait_for(browser, "#connection", "Connection lost")
