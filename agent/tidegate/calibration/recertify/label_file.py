"""The CSV in which inputs to label go out and labels come back."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate.calibration.data.datasets import DataError
from tidegate.calibration.recertify.counting import unlabelled
from tidegate.files import replace_file
from tidegate.models.bundle.evidence import Indices

GONE = "gone"
"""In the place of an input that is not kept any more."""
COLUMNS = ("input", "file", "full", "label")


@dataclass(frozen=True, slots=True)
class Row:
    """An input by its place in the data, with its file, if it has one of its own, and the full model's answer."""

    input: int
    file: str
    full: str


def asked_rows(
    asked: Sequence[int], files: Sequence[str], full: Sequence[str], kept: Iterable[int] = ()
) -> tuple[Row, ...]:
    """A row per input asked; `files` (n,) may be empty. Inputs `kept` had a label before and stay, first."""
    kept = tuple(kept)
    places = (*kept, *(index for index in asked if index not in set(kept)))
    return tuple(Row(index, files[index] if files else "", full[index]) for index in places)


def label_sheet(rows: Sequence[Row], given: Mapping[int, str]) -> str:
    """The sheet with the labels given so far, by place."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow((row.input, row.file, row.full, given.get(row.input, "")))
    return text.getvalue()


def write_sheet(path: Path, rows: Sequence[Row], given: Mapping[int, str]) -> None:
    """The sheet whole, also where a link points to. Raises DataError and then leaves the old one."""
    try:
        replace_file(path.resolve(), label_sheet(rows, given))
    except OSError as error:
        raise DataError(
            f"{path}: can't be written: {error.strerror}; make room or give yourself the permission "
            "there, or name another sheet"
        ) from error


def read_labels(
    path: Path, inputs: int, names: Sequence[str], files: Sequence[str] = (), *, moving: bool = False
) -> tuple[Indices, Mapping[int, str]]:
    """Labels (inputs,), -1 where none is given; and those given, as they stand, by place.

    A label is a class's name or its number. `files` (inputs,) are the data's, if inputs have their own: a sheet
    that names others was written for other data. With `moving` they alone say which input a row is about, and rows
    of those that are gone count no more. Raises DataError with the line, what was found and what is allowed.
    """
    if not names:
        raise DataError(f"{path}: this bundle's model has no classes, so that its inputs take no labels")
    labels = unlabelled(inputs)
    given: dict[int, str] = {}
    seen: set[int] = set()
    numbers = {name: number for number, name in enumerate(names)}
    for line, row in enumerate(_rows_in_place(path, files, moving=moving), 2):
        if None in row or not {"input", "label"} <= row.keys():
            raise DataError(
                f"{path}:{line}: needed are the columns {', '.join(COLUMNS)}; file and full may be missing"
            )
        index, label = (row["input"] or "").strip(), (row["label"] or "").strip()
        if index == GONE:
            continue
        place = _number(index)
        if place is None or place >= inputs:
            raise DataError(
                f"{path}:{line}: input {index[:40]!r}; allowed are 0 to {inputs - 1}, places in the data"
            )
        if place in seen:
            raise DataError(f"{path}:{line}: input {place} is there a second time; keep one row of it")
        seen.add(place)
        if files and (file := row.get("file") or "") not in {"", files[place]}:
            raise DataError(
                f"{path}:{line}: input {place} is {file[:80]!r} there and {files[place]!r} in the data; take the "
                "data that the sheet was written for, or write a sheet of another name"
            )
        if not label:
            continue
        number = numbers.get(label, _number(label))
        if number is None or number >= len(names):
            shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise DataError(f"{path}:{line}: label {label[:40]!r}; allowed are {shown}, or 0 to {len(names) - 1}")
        labels[place] = number
        given[place] = label
    return labels, given


def rows_of(path: Path, files: Sequence[str] = (), *, moving: bool = False) -> tuple[Row, ...]:
    """What a sheet asks for, once `read_labels` has found nothing wrong with it. Raises DataError."""
    rows = _rows_in_place(path, files, moving=moving)
    return tuple(
        Row(int(row["input"]), row.get("file") or "", row.get("full") or "")
        for row in rows
        if row["input"] != GONE
    )


def _rows_in_place(path: Path, files: Sequence[str], *, moving: bool) -> list[dict[str, str]]:
    """The sheet's rows, of `moving` inputs with the places where those are now."""
    rows = _lines(path)
    if not moving:
        return rows
    places = {name: str(place) for place, name in enumerate(files)}
    return [{**row, "input": places.get(row.get("file") or "", GONE)} if "input" in row else row for row in rows]


def _number(text: str) -> int | None:
    """A whole number of a few ASCII digits; Python refuses to read thousands of them."""
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: {error}") from error
