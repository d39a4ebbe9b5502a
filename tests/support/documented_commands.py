"""The shell commands of the Markdown pages, block by block, with the marks that say how they are run."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHELL = ("sh", "console")

BLOCK = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Commands:
    """One block of shell commands of a page; `mark` is the comment on the line before it, empty without one."""

    page: Path
    line: int
    text: str
    mark: str

    @property
    def place(self) -> str:
        """Where it stands, for messages: docs/page.md:12."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    def marked(self, kind: str) -> str | None:
        """What a mark `kind: ...` says, or the empty string of a mark that is `kind` alone; None without it."""
        name, _, said = self.mark.partition(":")
        return said.strip() if name == kind else None


def commands_of(page: Path) -> list[Commands]:
    """The blocks of shell commands of a page, from its top."""
    text = page.read_text()
    return [
        Commands(page, text.count("\n", 0, found.start("text")), found["text"], found["mark"] or "")
        for found in BLOCK.finditer(text)
        if found["language"] in SHELL
    ]
