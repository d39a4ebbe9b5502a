"""Text in a terminal's lines: never too wide, whole words, and an ellipsis where something was left out."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tidegate.terminal.wrapping import ELLIPSIS, broken_at_words, plain, wrap

WORDS = st.lists(st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30), max_size=20)


@given(words=WORDS, width=st.integers(2, 90), at_most=st.none() | st.integers(1, 5))
def test_no_line_is_wider_than_asked(words: list[str], width: int, at_most: int | None) -> None:
    lines = wrap(" ".join(words), width, at_most)
    assert all(cell_len(line) <= width for line in lines)
    assert 1 <= len(lines) <= (at_most or len(lines))


@given(words=WORDS, width=st.integers(2, 90))
def test_nothing_is_lost_where_lines_are_not_counted(words: list[str], width: int) -> None:
    assert "".join(wrap(" ".join(words), width)).replace(" ", "") == "".join(words)


@given(words=WORDS, width=st.integers(31, 90), at_most=st.integers(1, 5))
def test_a_shortened_text_ends_between_words_and_says_so(words: list[str], width: int, at_most: int) -> None:
    text = " ".join(words)
    whole, shortened = wrap(text, width), wrap(text, width, at_most)
    if len(whole) <= at_most:
        assert shortened == whole
        return
    assert shortened[-1].endswith(ELLIPSIS)
    if max(map(cell_len, words)) < width - 1:
        kept = " ".join(shortened).removesuffix(ELLIPSIS).split()
        assert kept == words[: len(kept)]


def test_wide_characters_count_twice() -> None:
    assert wrap("温度が高い 温度が高い", 12) == ["温度が高い", "温度が高い"]
    assert wrap("温度が高い", 5) == ["温度", "が高", "い"]


@given(st.text(max_size=60))
def test_what_moves_the_cursor_is_not_let_through(text: str) -> None:
    assert not any(unicodedata.category(each) in ("Cc", "Cf") for each in plain(text))


def test_an_escape_sequence_in_a_name_is_shown_not_obeyed() -> None:
    assert plain("a\x1b[2J\nb") == "a�[2J b"


@given(words=WORDS, width=st.integers(2, 90), indent=st.integers(0, 4))
def test_a_message_is_broken_between_words_alone(words: list[str], width: int, indent: int) -> None:
    text = " " * indent + " ".join(words)
    broken = broken_at_words(text, width).split("\n")
    assert [word for line in broken for word in line.split()] == words
    assert all(cell_len(line) <= width or len(line.split()) == 1 or width <= indent for line in broken)
    assert len(broken) == 1 or all(line.startswith(" " * indent) for line in broken)


def test_an_excerpt_of_a_file_stays_in_its_columns() -> None:
    excerpt = "   5 | when: temperature above eighty\n     |                   ^^^^^"
    assert broken_at_words(excerpt, 20) == excerpt
    assert broken_at_words("a.yaml:5:98: no value", 12) == "a.yaml:5:98:\nno value"
