"""The page that asks for labels: what it shows, that each label is in the sheet at once, and who may ask."""

import io
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tidegate.calibration.data.datasets import DataError, Dataset
from tidegate.calibration.recertify.inputs import DatasetInputs
from tidegate.calibration.recertify.label_file import read_labels
from tidegate.calibration.recertify.labelling.server import LabelServer, png_of
from tidegate.calibration.recertify.labelling.sheet import OpenSheet

NAMES = ("cat", "dog")
PICTURES = np.random.default_rng(0).integers(0, 256, (6, 3, 5, 4), np.uint8)
FILES = tuple(f"{letter}.png" for letter in "abcdef")
DATA = DatasetInputs(Dataset("frames", PICTURES, None, None, 1 / 255, FILES))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sheet.csv"
    path.write_text("input,file,full,label\n4,e.png,cat,\n2,c.png,dog,dog\n")
    return path


@pytest.fixture
def server(path: Path) -> Iterator[LabelServer]:
    with LabelServer(OpenSheet.of(path, DATA, NAMES), DATA) as opened:
        serving = threading.Thread(target=opened.serve_forever, args=(0.01,))
        serving.start()
        yield opened
        opened.shutdown()
        serving.join()


def ask(
    server: LabelServer,
    where: str,
    body: object = None,
    *,
    secret: str | None = None,
    kind: str = "application/json",
    host: str = "127.0.0.1",
) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    where = f"/{server.secret if secret is None else secret}/{where}"
    headers = {"Content-Type": kind, "Host": f"{host}:{server.server_port}"}
    content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("GET" if body is None else "POST", where, content, headers)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_it_shows_what_is_asked_and_not_what_the_model_says(server: LabelServer) -> None:
    status, page = ask(server, "")
    assert status == 200
    assert b"http:" not in page
    assert b"https:" not in page
    assert json.loads(ask(server, "state")[1]) == {
        "names": ["cat", "dog"],
        "rows": [
            {"input": 4, "file": "e.png", "label": None},
            {"input": 2, "file": "c.png", "label": "dog"},
        ],
    }
    with Image.open(io.BytesIO(ask(server, "picture/4")[1])) as shown:
        assert np.array_equal(np.moveaxis(np.asarray(shown), -1, 0), PICTURES[4])
    assert ask(server, "picture/3")[0] == 404


def test_a_label_is_in_the_sheet_at_once_and_can_be_taken_back(server: LabelServer, path: Path) -> None:
    status, answer = ask(server, "label", {"input": 4, "label": "dog"})
    assert status == 200
    assert [row["label"] for row in json.loads(answer)["rows"]] == ["dog", "dog"]
    assert path.read_text().splitlines()[1:] == ["4,e.png,cat,dog", "2,c.png,dog,dog"]
    assert read_labels(path, 6, NAMES)[0].tolist() == [-1, -1, 1, -1, 1, -1]
    assert ask(server, "label", {"input": 2, "label": None})[0] == 200
    assert read_labels(path, 6, NAMES)[0].tolist() == [-1, -1, -1, -1, 1, -1]
    assert server.sheet.left() == (1, 2)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"input": 3, "label": "cat"}, b"input 3: is not asked for"),
        ({"input": 4, "label": "bird"}, b"label 'bird': allowed are cat, dog"),
        ({"input": "x", "label": "cat"}, b"input: must be a valid integer"),
        ({"input": 4.7, "label": "cat"}, b"input: must be a valid integer"),
        ({"input": True, "label": "cat"}, b"input: must be a valid integer"),
        ({"input": 4, "label": ["cat"]}, b"label: must be a valid string"),
        ({"label": "cat"}, b"input: is missing"),
        (b'{"input": 1e999, "label": "cat"}', b"input: "),
        (b"9" * 4000, b"body: "),
        (b"[" * 4000, b"body: "),
        (b"no json", b"body: "),
        (b"[]", b"body: "),
        (b" " * 5000, b"a short body"),
    ],
)
def test_what_is_no_label_changes_nothing(server: LabelServer, path: Path, body: object, said: bytes) -> None:
    before = path.read_bytes()
    status, answer = ask(server, "label", body)
    assert status == 400
    assert said in answer
    assert path.read_bytes() == before


def test_only_who_knows_the_page_may_ask(server: LabelServer, path: Path) -> None:
    before = path.read_bytes()
    label = {"input": 4, "label": "dog"}
    assert ask(server, "state", secret="another")[0] == 404
    assert ask(server, "label", label, secret="another")[0] == 404
    assert ask(server, "state", host="evil.example")[0] == 404
    # What a page of another place can send without asking first.
    assert ask(server, "label", label, kind="text/plain")[0] == 400
    assert server.server_address[0] == "127.0.0.1"
    assert path.read_bytes() == before


@pytest.mark.parametrize("where", ["", "state", "picture/4", "other"])
def test_whatever_is_posted_elsewhere_is_answered(server: LabelServer, where: str) -> None:
    assert ask(server, where, {"input": 4, "label": "dog"}) == (404, b"there is nothing here")


@pytest.mark.parametrize(
    "where", ["picture/\xb2", "picture/" + "9" * 5000, "picture/", "../../etc/passwd", "label"]
)
def test_whatever_is_no_picture_is_answered(server: LabelServer, where: str) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
        raw.sendall(
            f"GET /{server.secret}/{where} HTTP/1.0\r\nHost: localhost:{server.server_port}\r\n\r\n".encode(
                "latin1"
            )
        )
        assert raw.makefile("rb").readline() == b"HTTP/1.0 404 Not Found\r\n"


def test_what_others_write_to_the_sheet_meanwhile_stays(server: LabelServer, path: Path) -> None:
    path.write_text("input,file,full,label\n2,c.png,dog,1\n5,f.png,cat,0\n4,e.png,cat,\n")
    assert ask(server, "label", {"input": 4, "label": "dog"})[0] == 200
    assert path.read_text().splitlines()[1:] == ["2,c.png,dog,1", "5,f.png,cat,0", "4,e.png,cat,dog"]
    assert [row["label"] for row in json.loads(ask(server, "state")[1])["rows"]] == ["dog", "cat", "dog"]


def test_a_sheet_that_was_broken_meanwhile_is_left_alone(server: LabelServer, path: Path) -> None:
    path.write_text("input,label\n4,bird\n")
    for where, body in (("label", {"input": 4, "label": "dog"}), ("state", None), ("picture/4", None)):
        status, answer = ask(server, where, body)
        assert status == 400
        assert b"sheet.csv:2: label 'bird'; allowed are cat, dog" in answer
    assert path.read_text() == "input,label\n4,bird\n"


def test_a_label_that_can_not_be_kept_is_said(tmp_path: Path) -> None:
    # A name as long as names get leaves none for the draft.
    path = tmp_path / f"{'s' * 251}.csv"
    path.write_text("input,label\n4,\n")
    with pytest.raises(DataError, match="can't be written: File name too long"):
        OpenSheet.of(path, DATA, NAMES).give(4, "dog")
    assert path.read_text() == "input,label\n4,\n"


def test_a_sheet_behind_a_link_is_filled_in_where_it_is(tmp_path: Path, path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(path)
    OpenSheet.of(link, DATA, NAMES).give(4, "dog")
    assert link.is_symlink()
    assert "4,e.png,cat,dog" in path.read_text()


def test_sheets_and_inputs_that_it_can_not_show_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such sheet"):
        OpenSheet.of(tmp_path / "none.csv", DATA, NAMES)
    rows = DatasetInputs(Dataset("rows", np.zeros((6, 7), np.float32), None, None, 1.0, FILES))
    with pytest.raises(DataError, match=r"inputs of the shape \(7,\) are no pictures"):
        LabelServer(OpenSheet.of(path, DATA, NAMES), rows)
    with pytest.raises(DataError, match="no classes"):
        OpenSheet.of(path, DATA, ())
    path.write_text("input,file,full,label\n")
    with pytest.raises(DataError, match="asks for no label"):
        OpenSheet.of(path, DATA, NAMES)


def test_floats_are_shown_from_their_least_to_their_largest() -> None:
    with Image.open(io.BytesIO(png_of(np.asarray([[[-1.0, 0.0, 3.0]]], np.float32)))) as shown:
        assert np.asarray(shown).tolist() == [[0, 64, 255]]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([np.nan, 0.0, 3.0], [0, 0, 255]),
        ([np.nan, np.inf, -np.inf], [0, 0, 0]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),
        ([2.0, 2.0, 2.0], [0, 0, 0]),
    ],
)
def test_any_floats_are_shown(values: list[float], shown: list[int]) -> None:
    with Image.open(io.BytesIO(png_of(np.asarray([[values]], np.float32)))) as picture:
        assert np.asarray(picture).tolist() == [shown]
