"""The sheet goes out with what to label and comes back with labels; what is wrong in it is said with its line."""

from pathlib import Path

import pytest

from tidegate.calibration.data.datasets import DataError
from tidegate.calibration.recertify.label_file import asked_rows, label_sheet, read_labels

NAMES = ("cat", "dog", "7")


def test_a_sheet_keeps_labels_given_before(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(label_sheet(asked_rows([4, 2], [], ["cat"] * 6), {}))
    assert sheet.read_text() == "input,file,full,label\n4,,cat,\n2,,cat,\n"
    sheet.write_text(sheet.read_text().replace("4,,cat,", "4,,cat,dog"))
    labels, given = read_labels(sheet, 6, NAMES)
    assert labels.tolist() == [-1, -1, -1, -1, 1, -1]
    rows = asked_rows([2], ["a.png"] * 6, ["cat"] * 6, given)
    assert label_sheet(rows, given).splitlines()[1:] == [
        "4,a.png,cat,dog",
        "2,a.png,cat,",
    ]


def test_labels_are_names_or_numbers_and_names_win(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("\ufeffinput,label\n0,cat\n1,1\n2,7\n3,2\n")
    assert read_labels(sheet, 4, NAMES)[0].tolist() == [0, 1, 2, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("input,label\n0,bird\n", "sheet.csv:2: label 'bird'; allowed are cat, dog, 7, or 0 to 2"),
        ("input,label\n0,3\n", "sheet.csv:2: label '3'"),
        ("input,label\n0,-1\n", "sheet.csv:2: label '-1'"),
        ("input,label\n0,cat\n4,cat\n", "sheet.csv:3: input '4'; allowed are 0 to 3, places in the data"),
        ("input,label\n²,cat\n", "sheet.csv:2: input '²'"),
        ("input,label\n,cat\n", "sheet.csv:2: input ''"),
        ("file,label\na,cat\n", "sheet.csv:2: needed are the columns input, file, full, label"),
        ("input,label\n0,cat,x\n", "sheet.csv:2: needed are the columns"),
        (f"input,label\n{'9' * 5000},cat\n", "sheet.csv:2: input '999"),
        (f"input,label\n0,{'9' * 5000}\n", "sheet.csv:2: label '999"),
        ("input,label\n0,cat\n0,dog\n", "sheet.csv:3: input 0 is there a second time"),
        (
            "input,file,label\n0,a.png,\n1,c.png,cat\n",
            "sheet.csv:3: input 1 is 'c.png' there and 'b.png' in the data",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(text)
    with pytest.raises(DataError) as caught:
        read_labels(sheet, 4, NAMES, ["a.png", "b.png", "c.png", "d.png"])
    assert said in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    sheet.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"sheet\.csv"):
        read_labels(sheet, 4, NAMES)
