"""The page of `tidegate bundle label` as people meet it: in Chromium, by keyboard and mouse; and by axe-core."""

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from headless_chromium import LOOKS, chromium_at, judged_by_axe, keep, loaded_from, resize, sticks_out_px, wait_for
from PIL import Image

from tidegate import child
from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory

pytestmark = [pytest.mark.chromium, pytest.mark.timeout(400)]

DIGITS = profiles_directory() / "bundles" / "digits"
EVIL = "<img src=x onerror=document.title=0>.png"
NAMES = ("0.png", "1.png", EVIL)
SHEET = f"input,file,full,label\n1,1.png,8,\n2,{EVIL},8,\n0,0.png,8,\n"
WIDTH_PX = """
const shown = document.images[0], told = arguments[0];
shown.decode().then(() => told(shown.naturalWidth));
"""
IS_DARK = "return getComputedStyle(document.documentElement).color === 'rgb(255, 255, 255)'"
LEFT, RIGHT = "\ue012", "\ue014"


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Asks for three pictures, of which the full model says 8; they lie in `frames` beside it."""
    directory = tmp_path_factory.mktemp("labels")
    (directory / "frames").mkdir()
    for name, picture in zip(NAMES, open_bundle(DIGITS).samples().raw, strict=False):
        Image.fromarray(picture[0].astype("uint8") * 15, "L").save(directory / "frames" / name)
    (directory / "sheet.csv").write_text(SHEET)
    return directory / "sheet.csv"


@pytest.fixture(scope="module")
def command(sheet: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The address that the command says, and the command."""
    given = ("--data", str(sheet.parent / "frames"), "--labels", str(sheet), "--grey")
    line = child.command("tidegate.cli.main", "bundle", "label", str(DIGITS), *given)
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=child.environment()) as running:
        assert running.stdout is not None
        said = running.stdout.readline()
        found = re.fullmatch(r"3 of 3 have no label yet: (http://127\.0\.0\.1:\d+/\S+/)\n", said)
        assert found, said
        yield found[1], running
        running.kill()


@pytest.fixture(scope="module")
def browser(command: tuple[str, "subprocess.Popen[str]"]) -> Iterator[Any]:
    with chromium_at(command[0]) as opened:
        yield opened


def labels_in(sheet: Path) -> dict[str, str]:
    """By the input's place."""
    rows = [line.split(",") for line in sheet.read_text().splitlines()[1:]]
    return {row[0]: row[-1] for row in rows}


def press(browser: Any, key: str) -> None:
    browser.find_element("css selector", "body").send_keys(key)


def pressed(browser: Any) -> list[str]:
    return [each.text for each in browser.find_elements("css selector", "[aria-pressed=true]")]


def test_keys_give_labels_and_go_back_and_on(browser: Any, sheet: Path) -> None:
    assert wait_for(browser, "#where", "1 of 3: 1.png; 3 have no label yet")
    press(browser, "2")
    wait_for(browser, "#where", f"2 of 3: {EVIL}; 2 have no label yet")
    assert labels_in(sheet) == {"1": "1", "2": "", "0": ""}
    assert pressed(browser) == []
    press(browser, LEFT)
    wait_for(browser, "#where", "1 of 3")
    assert pressed(browser) == ["1"]
    press(browser, RIGHT)
    wait_for(browser, "#where", "2 of 3")


def test_the_picture_is_there_and_what_the_model_says_is_not(browser: Any) -> None:
    assert browser.execute_async_script(WIDTH_PX) == 8
    assert browser.execute_script("return document.images.length") == 1, "a file's name is text"
    assert browser.title == "Labels"
    state = browser.execute_async_script("fetch('state').then(answer => answer.json()).then(arguments[0])")
    assert [sorted(row) for row in state["rows"]] == [["file", "input", "label"]] * 3


@LOOKS
def test_axe_finds_nothing_serious_in_it_and_nothing_sticks_out(
    browser: Any, name: str, width: int, scheme: str
) -> None:
    resize(browser, width, 1000, scheme)
    assert browser.execute_script(IS_DARK) == (scheme == "dark")
    keep(browser, f"label-page-{name}")
    serious, kept = judged_by_axe(browser)
    assert serious == []
    assert kept > 10
    assert sticks_out_px(browser) <= 0


def test_buttons_give_labels_and_take_them_back(browser: Any, sheet: Path) -> None:
    resize(browser, 1200, 1000)
    browser.find_element("xpath", "//div[@id='names']/button[.='8']").click()
    wait_for(browser, "#where", "3 of 3: 0.png; 1 have no label yet")
    browser.find_element("id", "back").click()
    wait_for(browser, "#where", "2 of 3")
    assert pressed(browser) == ["8"]
    browser.find_element("id", "none").click()
    wait_for(browser, "#where", "2 of 3: " + EVIL + "; 2 have no label yet")
    assert labels_in(sheet) == {"1": "1", "2": "", "0": ""}
    press(browser, "9")
    wait_for(browser, "#where", "3 of 3")
    press(browser, "1")
    wait_for(browser, "#where", "all have a label: run `tidegate bundle certify` again")
    assert labels_in(sheet) == {"1": "1", "2": "8", "0": "0"}


def test_nothing_is_loaded_from_elsewhere_or_complained_about(browser: Any, command: tuple[str, object]) -> None:
    loaded = loaded_from(browser)
    assert len(loaded) > 3
    assert [each for each in loaded if not each.startswith(command[0])] == []
    assert browser.get_log("browser") == []


def test_what_an_editor_writes_meanwhile_is_seen_or_refused_with_its_place(browser: Any, sheet: Path) -> None:
    written = sheet.read_text()
    sheet.write_text(written.replace("1,1.png,8,1", "1,1.png,8,7"))
    browser.find_element("id", "none").click()
    wait_for(browser, "#where", "3 of 3: 0.png; 1 have no label yet")
    press(browser, LEFT)
    press(browser, LEFT)
    wait_for(browser, "#where", "1 of 3")
    assert pressed(browser) == ["7"]
    sheet.write_text(written.replace("1,1.png,8,1", "1,1.png,8,bird"))
    press(browser, "1")
    assert "sheet.csv:2: label 'bird'; allowed are 0, 1" in wait_for(browser, "#trouble", "bird")
    sheet.write_text(written)
    press(browser, "1")
    wait_for(browser, "#where", "2 of 3")
    assert browser.find_element("id", "trouble").text == ""
    assert labels_in(sheet)["1"] == "0"


def test_a_command_that_has_ended_is_said_to_have_ended(
    browser: Any, command: tuple[str, "subprocess.Popen[str]"]
) -> None:
    command[1].send_signal(signal.SIGINT)
    command[1].wait(20)
    press(browser, "1")
    assert wait_for(browser, "#trouble", "start it again") == "the command has ended: start it again"
