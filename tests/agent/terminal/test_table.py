"""Tables at every width: no line too wide, no cell lost, and every value beside the name of its row."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tidegate.terminal.table import Table, lay_out

LADDER = Table(
    "digits: ladder",
    ("operating point", "certified risk", "accuracy", "p50", "engine", "newly wrong", "blocks skipped", "weights"),
    [
        ("full", "≤ 0.0%", "99.5%", "0.58 ms", "any", "0.0%", "0%", "528 KiB"),
        ("int8-skip-88-b-onnx", "not certified", "99.5%", "0.05 ms", "onnx", "0.5%", "88%", "132 KiB"),
    ],
)


def lines(table: Table, width: int | None) -> list[str]:
    return lay_out(table, width).plain.removesuffix("\n").split("\n")


def test_at_80_and_60_columns_nothing_is_cut_and_what_matters_stands_first() -> None:
    for width in (80, 60):
        shown = lines(LADDER, width)
        assert all(cell_len(line) <= width for line in shown)
        text = "\n".join(shown)
        assert "…" not in text
        assert all(cell in text for row in LADDER.rows for cell in row)
        first = next(line for line in shown if line.startswith("int8-skip-88-b-onnx"))
        assert "not certified  99.5%" in " ".join(first.split("   "))
    assert sum("int8-skip-88-b-onnx" in line for line in lines(LADDER, 60)) > 1


def test_a_pipe_gets_one_line_a_row() -> None:
    shown = lines(LADDER, None)
    assert len(shown) == 3 + len(LADDER.rows)
    assert shown[-1].split() == " ".join(LADDER.rows[-1]).split()


CELLS = st.text(st.characters(exclude_categories=("C", "Z")), max_size=14)


@given(data=st.data(), width=st.integers(20, 120), keys=st.integers(1, 2))
def test_no_width_loses_a_letter_or_runs_over(data: st.DataObject, width: int, keys: int) -> None:
    count = data.draw(st.integers(keys, 8))
    row = st.lists(CELLS, min_size=count, max_size=count)
    table = Table("t", data.draw(row), data.draw(st.lists(row, max_size=4)), keys)
    shown = lines(table, width)
    assert all(cell_len(line) <= width for line in shown)
    letters = "".join(shown)
    for cells in (table.columns, *table.rows):
        assert all(letters.count(letter) >= "".join(cells).count(letter) for letter in set("".join(cells)))
