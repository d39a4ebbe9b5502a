"""The manual page has every command with every option, and is roff that groff has nothing to say about."""

import shutil
import subprocess
from typing import Any

import pytest
import typer
from here import tidegate_here

from tidegate.cli.command_tree import Command, Option, commands
from tidegate.cli.main import application
from tidegate.cli.man import manual_page

TREE: Any = typer.main.get_command(application())
COMMANDS = list(commands(TREE))


def test_every_command_and_every_option_of_it_is_there() -> None:
    page = tidegate_here("man").stdout
    shipped = [command for command in COMMANDS if not command.words.startswith("bench")]
    assert len(shipped) > 30
    for command in shipped:
        section = page.partition(f".SS {command.usage}".replace("-", "\\-"))[2].partition("\n.S")[0]
        assert section, command.words
        for option in command.options:
            assert f".B {option.names}\n".replace("-", "\\-") in section, (command.words, option.names)
    assert ".SS tidegate bench" not in page


def test_a_command_says_what_it_takes() -> None:
    push = next(command for command in COMMANDS if command.words == "policy push")
    assert push.usage == "tidegate policy push [OPTIONS] FILE"
    by_names = {option.names: option for option in push.options}
    assert by_names["--broker BROKER"].default == "127.0.0.1"
    assert by_names["--fleet"] == Option("--fleet", "All devices.", None, is_argument=False)
    assert by_names["--timeout, --wait TIMEOUT"].default == "30.0"
    assert by_names["FILE"].is_argument


def test_text_is_never_taken_for_a_request_or_an_escape() -> None:
    odd = Command("odd", "tidegate odd", ".so /etc/passwd\n\n'a' \\fB-x", ())
    page = manual_page([odd])
    assert "\n\\&.so /etc/passwd\n" in page
    assert "\n\\(aqa\\(aq \\efB\\-x\n" in page


def test_groff_has_nothing_to_say() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        [groff, "-man", "-Tutf8", "-ww", "-rLL=100n", "-P-cbou"],
        input=manual_page(COMMANDS),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "tidegate policy push [OPTIONS] FILE" in done.stdout
