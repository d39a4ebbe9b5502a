"""A sheet that is being filled in: each label is in the file as soon as it is given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tidegate.calibration.data.datasets import DataError
from tidegate.calibration.recertify.inputs import Inputs
from tidegate.calibration.recertify.label_file import Row, read_labels, rows_of, write_sheet
from tidegate.models.bundle.evidence import Indices


@dataclass(frozen=True, slots=True)
class OpenSheet:
    """A sheet of inputs (n,), with their files if they have their own, and the names of classes.

    All else is in the file, and is read again for each question: an editor, another page or `bundle certify` may
    have written to it. Whatever reads it raises DataError.
    """

    path: Path
    inputs: int
    names: tuple[str, ...]
    files: tuple[str, ...] = ()
    moving: bool = False

    @classmethod
    def of(cls, path: Path, data: Inputs, names: tuple[str, ...]) -> Self:
        """The sheet that `bundle certify --labels` wrote for the data. Raises DataError."""
        if not path.exists():
            raise DataError(f"{path}: there is no such sheet; `bundle certify ... --labels {path}` writes it")
        sheet = cls(path, len(data), names, data.files, data.moving)
        if not sheet.rows():
            raise DataError(
                f"{path}: asks for no label; `bundle certify ... --labels {path}` writes what to label"
            )
        return sheet

    def rows(self) -> tuple[Row, ...]:
        """What is asked for, in the order in which it helps."""
        return self._read()[0]

    def left(self) -> tuple[int, int]:
        """How many have no label yet, and of how many."""
        rows, given = self._read()
        return len(rows) - len(given), len(rows)

    def state(self) -> Mapping[str, object]:
        """What the page shows. The full model's answers are not in it: who sees them agrees too easily."""
        labels, _ = self._labels()
        rows = [
            {
                "input": row.input,
                "file": row.file,
                "label": None if (at := labels[row.input]) < 0 else self.names[at],
            }
            for row in rows_of(self.path, self.files, moving=self.moving)
        ]
        return {"names": list(self.names), "rows": rows}

    def give(self, place: int, label: str | None) -> None:
        """Keep a label, or take it back with None. Raises DataError, also where it can't be kept."""
        rows, given = self._read()
        if place not in {row.input for row in rows}:
            raise DataError(f"input {place}: is not asked for in {self.path}")
        if label is not None and label not in self.names:
            raise DataError(f"label {label[:40]!r}: allowed are {', '.join(self.names)}")
        kept = {key: value for key, value in given.items() if key != place}
        if label is not None:
            kept[place] = label
        write_sheet(self.path, rows, kept)

    def _read(self) -> tuple[tuple[Row, ...], Mapping[int, str]]:
        _, given = self._labels()
        return rows_of(self.path, self.files, moving=self.moving), given

    def _labels(self) -> tuple[Indices, Mapping[int, str]]:
        return read_labels(self.path, self.inputs, self.names, self.files, moving=self.moving)
