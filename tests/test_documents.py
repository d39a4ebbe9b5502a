"""What the Markdown pages point at exists: links and their headings, files, commands with their options."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from tidegate.cli.main import application

ROOT = Path(__file__).parent.parent
WIDTH = 120
SOURCES = (ROOT, ROOT / "agent/tidegate")
"""Where a path in a page may start; CONTRIBUTING names files of the service from the service's own root."""

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / ".github").rglob("*.md"),
]
each_page = pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(ROOT)))

ROOT_COMMAND = typer.main.get_command(application())


def code_blocks(text: str) -> list[str]:
    """The contents of fenced and of indented code blocks."""
    fenced = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return fenced + re.findall(r"(?<=\n\n)((?: {4}.+\n)+)", text)


def without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The fragments that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", without_code_blocks(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code_blocks(page.read_text()))


def named_files(text: str) -> set[str]:
    """Paths below the folders of the sources; not those with a placeholder, NAME or *."""
    found = re.findall(r"(?<![\w./~-])((?:agent|drivers|docs|profiles|tests)/[\w./*-]*\w)", text)
    found += re.findall(r"`((?:models|engines)/[\w./]+\.py)`", text)
    return {
        path for path in found if not re.search(r"[A-Z]{4}|\*", path.removesuffix(".md").replace("README", ""))
    }


def command_lines(text: str) -> Iterator[str]:
    """Every `tidegate ...` of a page, from its code blocks and from within its sentences."""
    for block in code_blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            if found := re.match(r"\s*(?:\$ )?(?:\./install\.sh run -- |tidegate )(.*)", line):
                yield re.split(r" [|>] ?", found[1])[0]
    for code in re.findall(r"`([^`]+)`", without_code_blocks(text)):
        if found := re.match(r"(?:\$ )?(?:\./install\.sh run -- |tidegate )(.*)", " ".join(code.split())):
            yield re.split(r" [|>] ?", found[1])[0]


def fault_of(line: str) -> str:
    """What tidegate would refuse of a command line; values are not looked at, and what is left out is no fault."""
    words = shlex.split(line, comments=True)
    command: Any = ROOT_COMMAND
    path = "tidegate"
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0] == "NAME":
            return ""
        if words[0] not in command.commands:
            return f"{path} has no command {words[0]!r}, it has {', '.join(command.commands)}"
        path, command = f"{path} {words[0]}", command.commands[words.pop(0)]
    options = {name: each for each in command.params for name in (*each.opts, *each.secondary_opts)}
    places = sum(each.param_type_name == "argument" and (1 if each.nargs > 0 else 99) for each in command.params)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            places -= word != "..."
            if places < 0:
                return f"{path} takes no {word!r}"
        elif (name := word.partition("=")[0]) in options:
            if not options[name].is_flag and "=" not in word and words:
                words.pop(0)
        elif name != "--help":
            return f"{path} has no option {name}, it has {', '.join(sorted(options))}"
    return ""


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for link in links(page):
        if link.startswith("https://"):
            continue
        target, _, fragment = link.partition("#")
        file = page.parent / target if target else page
        if not file.exists() or (fragment and fragment not in anchors(file)):
            dead.append(link)
    assert dead == []


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    named = named_files(page.read_text())
    assert [path for path in sorted(named) if not any((root / path).exists() for root in SOURCES)] == []


@each_page
def test_commands_are_accepted(page: Path) -> None:
    assert [f"{line}: {fault}" for line in command_lines(page.read_text()) if (fault := fault_of(line))] == []


@each_page
def test_prose_is_no_wider_than_the_code(page: Path) -> None:
    prose = without_code_blocks(page.read_text()).splitlines()
    assert [line for line in prose if len(line) > WIDTH and not line.startswith("|")] == []


def test_what_the_checks_look_at_is_there() -> None:
    pages = [page.read_text() for page in PAGES]
    assert sum(len(links(page)) for page in PAGES) > 50
    assert len(set().union(*(named_files(text) for text in pages))) > 30
    lines = [line for text in pages for line in command_lines(text)]
    assert any(line.startswith("policy push policy.yaml --device gate-7") for line in lines)
    assert any(line.startswith("bench adaptive-activation --model resnet18") for line in lines)


def test_wrong_commands_are_found() -> None:
    assert "no command 'pull'" in fault_of("policy pull x.yaml")
    assert "no option --devices" in fault_of("policy push x.yaml --devices gate-7")
    assert "takes no 'y.yaml'" in fault_of("policy check x.yaml y.yaml")
    assert fault_of("policy push policy.yaml --device gate-7 --broker mqtt.example.org  # to one device") == ""
