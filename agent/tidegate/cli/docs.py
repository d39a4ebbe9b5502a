"""`tidegate docs`: the documentation that came with this version, without a network."""

import difflib
from pathlib import Path
from typing import Annotated

import typer
from rich.markdown import Markdown

from tidegate.cli.console import fail, out, show_table
from tidegate.errors import EX_UNAVAILABLE, EX_USAGE
from tidegate.paths import docs_directory
from tidegate.terminal.table import Table


def docs(
    page: Annotated[
        str, typer.Argument(help="A page's name, such as policy; without one, the list of pages.")
    ] = "",
    where: Annotated[
        bool, typer.Option("--path", help="Print where it lies, for a browser or an editor.")
    ] = False,
) -> None:
    """Read the documentation of this version; it came with it, so no network is needed."""
    directory = docs_directory()
    pages = {file.stem: file for file in sorted(directory.glob("*.md"))}
    if not pages:
        fail(f"{directory}: the documentation is not there; install tidegate anew", EX_UNAVAILABLE)
    name = page.removesuffix(".md")
    if name and name not in pages:
        near = difflib.get_close_matches(name, pages, 1)
        told = f"did you mean {near[0]}?" if near else "tidegate docs lists the pages"
        fail(f"no page {page!r}; {told}", EX_USAGE)
    if where:
        out.print(pages[name] if name else directory, markup=False, soft_wrap=True)
    elif name:
        show_page(pages[name])
    else:
        show_table(
            Table("tidegate docs PAGE", ("page", "about"), [(each, _title(at)) for each, at in pages.items()])
        )


def show_page(file: Path) -> None:
    """One page: laid out, in a pager, for a terminal; else the Markdown as it is."""
    text = file.read_text(encoding="utf-8")
    if out.is_terminal:
        with out.pager(styles=True):
            out.print(Markdown(text))
    else:
        out.print(text, markup=False, soft_wrap=True, end="")


def _title(file: Path) -> str:
    with file.open(encoding="utf-8") as lines:
        return next((line.removeprefix("# ").strip() for line in lines if line.startswith("# ")), "")
