"""The demo as a person sees it: in a real pseudo-terminal, every frame of it."""

import re
import sys

import pytest
from demo_screen import ENDING, FACTS, coloured, ending, is_frame, missing
from terminal import Terminal

pytestmark = pytest.mark.long

DEMO = [sys.executable, "-m", "tidegate.cli.main", "demo", "--replay-all", "--seconds"]


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
        running = terminal.follow(60, lambda text: frames.append(text) if is_frame(text) else None)
        assert not running
        assert terminal.process.wait(20) == 0, terminal.text()
    assert re.fullmatch(ENDING, ending(terminal)), ending(terminal)
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
    assert re.fullmatch(ENDING, ending(terminal)), ending(terminal)


@pytest.mark.broker
@pytest.mark.usefixtures("mosquitto")
@pytest.mark.slow
def test_a_terminal_of_plain_letters_gets_plain_letters() -> None:
    with Terminal([*DEMO, "6"], 80, 24, PYTHONIOENCODING="ascii") as terminal:
        texts: list[str] = []
        terminal.follow(60, lambda text: texts.append(text) if "battery" in text else None)
        assert terminal.process.wait(20) == 0, terminal.text()
    assert any("certified risk <= " in text for text in texts)
