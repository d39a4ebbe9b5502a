"""Tables that lose nothing: what is too wide goes on below, beside the columns that name a row. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tidegate.terminal.wrapping import wrap

_GAP = 2


@dataclass(frozen=True, slots=True)
class Table:
    """Columns in the order of their importance; the first `keys` of them say what a row is of."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    keys: int = 1


def lay_out(table: Table, width: int | None) -> Text:
    """The table in lines of at most `width` cells (None: as wide as it is), ending in a line break."""
    lines: list[Text] = [Text(line, "bold") for line in wrap(table.title, width or cell_len(table.title) or 1)]
    for number, block in enumerate(_blocks(table, width)):
        if number:
            lines.append(Text())
        lines += _block_lines(table, block)
    return Text("\n").join([*lines, Text()])


@dataclass(frozen=True, slots=True)
class _Column:
    """One column of a block: which, and its width in cells."""

    index: int
    width: int


def _blocks(table: Table, width: int | None) -> list[list[_Column]]:
    natural = [_Column(index, _widest(table, index, [name])) for index, name in enumerate(table.columns)]
    if width is None or _total(natural) <= width:
        return [natural]
    # Headers of several words cost no width: they are broken before anything goes below.
    narrow = [_Column(index, _widest(table, index, name.split())) for index, name in enumerate(table.columns)]
    most_of_keys = max((width - _GAP * table.keys) // (2 * table.keys), 2)
    keys = [_Column(key.index, min(key.width, most_of_keys)) for key in narrow[: table.keys]]
    if len(narrow) == table.keys or _total(narrow) <= width:
        return [narrow if _total(narrow) <= width else keys]
    left = max(width - _total(keys) - _GAP, 2)
    blocks: list[list[_Column]] = []
    for column in narrow[table.keys :]:
        fitting = _Column(column.index, min(column.width, left))
        if blocks and _total([*blocks[-1], fitting]) <= width:
            blocks[-1].append(fitting)
        else:
            blocks.append([*keys, fitting])
    return blocks


def _widest(table: Table, index: int, header: Sequence[str]) -> int:
    return max((cell_len(text) for text in (*header, *(row[index] for row in table.rows))), default=1) or 1


def _total(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + _GAP * max(len(columns) - 1, 0)


def _block_lines(table: Table, block: Sequence[_Column]) -> Iterator[Text]:
    for line in _row_lines(table.columns, block):
        yield Text(line, "bold")
    yield Text(" " * _GAP).join(Text("─" * column.width) for column in block)
    for row in table.rows:
        for line in _row_lines(row, block):
            yield Text(line)


def _row_lines(cells: Sequence[str], block: Sequence[_Column]) -> Iterator[str]:
    wrapped = [wrap(cells[column.index], column.width) for column in block]
    for number in range(max(map(len, wrapped))):
        parts = (
            set_cell_size(lines[number] if number < len(lines) else "", column.width)
            for lines, column in zip(wrapped, block, strict=True)
        )
        yield (" " * _GAP).join(parts).rstrip()
