"""The demo as a person sees it: in a real pseudo-terminal, every frame of it."""

import json
import re
import sys

import pytest
from terminal import Terminal

pytestmark = pytest.mark.long

DEMO = [sys.executable, "-m", "tidegate.cli.main", "demo", "--replay-all", "--seconds"]

FACTS = {
    "battery": r"battery \d+\.\d %",
    "temperature": r"temperature \d+\.\d C",
    "power source": r"power source (battery|external)",
    "point": r"point (full|int8[-a-z0-9]*), rung \d of \d",
    "risk": r"certified risk ≤ \d+\.\d%",
    "reason": r"because (nothing is decided|[^…]*(battery power|no rule holds|(is|rose) (above|below) \d+ [C%]))",
    "decision": r"last decision (none yet|\d\d:\d\d:\d\d (decision: wants|switch: [-a-z0-9]+ →) [-a-z0-9]+: \w+)",
    "requests": r"requests (not counted yet|none in the last|\d+/s served, failed 0)",
}


def missing(text: str) -> list[str]:
    return [name for name, pattern in FACTS.items() if not re.search(pattern, text)]


def coloured(terminal: Terminal) -> bool:
    return re.search(rb"\x1b\[[0-9;]*3[0-7]m", terminal.written) is not None


def summary(terminal: Terminal) -> dict[str, object]:
    """The last line, behind the last frame."""
    found: dict[str, object] = json.loads(terminal.written.decode().replace("\r\n", "\n").strip().splitlines()[-1])
    return found


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
# Coloured frames of four sizes are in the test of resizing.
@pytest.mark.parametrize(
    ("columns", "lines", "environment"),
    [
        (80, 24, {"NO_COLOR": "1"}),
        *(pytest.param(*size, {}, marks=pytest.mark.slow) for size in ((80, 24), (60, 20), (80, 15), (120, 40))),
    ],
)
def test_every_frame_shows_what_matters(columns: int, lines: int, environment: dict[str, str]) -> None:
    frames: list[str] = []
    with Terminal([*DEMO, "10"], columns, lines, **environment) as terminal:
        running = terminal.follow(60, lambda text: frames.append(text) if "battery" in text else None)
        assert not running
        assert terminal.process.wait(20) == 0, terminal.text()
    *frames, _last = frames
    assert len(frames) > 15
    assert [(missing(text), text) for text in frames if missing(text)] == []
    # The device climbed, so the frames are not one frame many times.
    assert len({match.group() for text in frames if (match := re.search(FACTS["point"], text))}) >= 3


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
def test_another_size_in_the_middle_of_the_run_leaves_no_rest_behind() -> None:
    with Terminal([*DEMO, "60"], 80, 24) as terminal:
        deadline = 60
        while "certified risk" not in terminal.text() and deadline:
            assert terminal.follow(1)
            deadline -= 1
        for columns, lines in ((60, 20), (120, 40), (72, 15), (80, 24)):
            terminal.resize(columns, lines)
            assert terminal.follow(1.0)
            assert missing(terminal.text()) == [], terminal.screen.display
            assert terminal.text().count("certified risk") == 1
            assert terminal.text().count("last decision") == 1
        assert coloured(terminal), "or its absence elsewhere says nothing"


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
@pytest.mark.slow
def test_a_dumb_terminal_gets_words_and_no_codes() -> None:
    with Terminal([*DEMO, "8"], 80, 24, TERM="dumb") as terminal:
        texts: list[str] = []
        terminal.follow(60, lambda text: texts.append(text) if "battery" in text else None)
        assert terminal.process.wait(20) == 0
    assert b"\x1b[" not in terminal.written
    assert any(not missing(text) for text in texts)
    assert summary(terminal)["requests_failed"] == 0


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
@pytest.mark.slow
def test_a_terminal_of_plain_letters_gets_plain_letters() -> None:
    with Terminal([*DEMO, "6"], 80, 24, PYTHONIOENCODING="ascii") as terminal:
        texts: list[str] = []
        terminal.follow(60, lambda text: texts.append(text) if "battery" in text else None)
        assert terminal.process.wait(20) == 0, terminal.text()
    assert any("certified risk <= " in text for text in texts)
