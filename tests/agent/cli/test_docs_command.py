"""`tidegate docs`: every page can be found and read; a name that is none is answered with one that is."""

import pytest
from here import tidegate_here

from tidegate.paths import docs_directory


def test_without_a_page_all_are_listed_with_what_they_are_about() -> None:
    listed = tidegate_here("docs")
    assert listed.returncode == 0
    # A long title goes on in the next line, under its column.
    rows = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines()[3:] if not line.startswith(" "))
    assert set(rows) == {file.stem for file in docs_directory().glob("*.md")}
    assert rows["policy"] == "The policy language"


@pytest.mark.parametrize("name", ["policy", "policy.md"])
def test_a_page_goes_to_a_pipe_as_it_is(name: str) -> None:
    read = tidegate_here("docs", name)
    assert (read.returncode, read.stdout) == (0, (docs_directory() / "policy.md").read_text())


def test_where_the_pages_are_is_printed() -> None:
    assert tidegate_here("docs", "--path").stdout.strip() == str(docs_directory())
    assert tidegate_here("docs", "policy", "--path").stdout.strip() == str(docs_directory() / "policy.md")


@pytest.mark.parametrize(
    ("name", "words"), [("polcy", "did you mean policy?"), ("xyzzy", "lists the pages"), ("../README", "no page")]
)
def test_a_page_that_is_not_there(name: str, words: str) -> None:
    refused = tidegate_here("docs", name)
    assert (refused.returncode, refused.stdout) == (64, "")
    assert words in refused.stderr
