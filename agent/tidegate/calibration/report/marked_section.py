"""A page's generated sections: what stands between two marks is written by a program, all else by people."""

from collections.abc import Sequence


def with_section(page: str, begin: str, end: str, content: str) -> str:
    """The page's text with the content between two marks replaced. Raises ValueError for a page without them."""
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no {begin!r} followed by {end!r}")
    return f"{before}{begin}\n{content}\n{end}{after}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table."""
    lines = [header, *rows]
    written = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join((written[0], "|" + "---|" * len(header), *written[1:]))
