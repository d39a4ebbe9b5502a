"""`tidegate bundle certify` and `label` on frames that a device has kept: by clip, with labels by file."""

import csv
import json
import threading
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tidegate.calibration.data.datasets import DataError
from tidegate.calibration.recertify.inputs import read_footage
from tidegate.calibration.recertify.kept_labels import read_kept_labels
from tidegate.calibration.recertify.labelling.server import LabelServer
from tidegate.calibration.recertify.labelling.sheet import OpenSheet
from tidegate.cli import bundle_certify
from tidegate.cli.main import application
from tidegate.footage import kept
from tidegate.footage.frame_file import Frame
from tidegate.footage.kept import Queue, kept_frames
from tidegate.footage.store import CEILINGS, FootageStore
from tidegate.models.bundle import open_bundle
from tidegate.models.bundle.statement import read_statement
from tidegate.models.ladder import Risk
from tidegate.paths import profiles_directory
from tidegate.trust.dsse import parse_envelope
from tidegate.trust.key_file import write_pair
from tidegate.trust.keys import PrivateKey

DIGITS = profiles_directory() / "bundles" / "digits"
BUNDLE = open_bundle(DIGITS)
CLIPS = 600
BEGAN_S = 1_800_000_000


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """600 clips of noisy digits, and three disagreements; the clip's number is in the time."""
    store = FootageStore(tmp_path / "state" / kept.DIRECTORY, 1 << 30, 1e12)
    (tmp_path / "state").mkdir()
    chance = np.random.default_rng(5)
    noise = chance.normal(0, 0.08, (CLIPS, 1, 8, 8))
    inputs = (np.concatenate([BUNDLE.samples().inputs()] * 3) + noise).astype(np.float32)
    for number, values in enumerate(inputs):
        store.put(Frame(values, "door"), BEGAN_S + number, float(chance.random()))
    for number in range(3):
        frame = Frame(inputs[number], "door", BUNDLE.ladder.points[1].name)
        store.put_disagreement(frame, BEGAN_S + number, 0.5)
    return tmp_path / "state"


def truth(file: str) -> int:
    """The digit that a kept file shows."""
    known = BUNDLE.samples().labels
    assert known is not None
    return int(known[(int(Path(file).name.split("-")[0]) - BEGAN_S) % 200])


def run(command: str, *arguments: str) -> Result:
    return CliRunner().invoke(application(), ["bundle", command, str(DIGITS), *arguments])


def certify(*arguments: str) -> Result:
    return run("certify", "--engine", "onnx", *arguments)


def fill_in(sheet: Path) -> int:
    """Label what is asked for; gives how many."""
    rows = list(csv.DictReader(sheet.open()))
    lines = [f"{row['input']},{row['file']},,{truth(row['file'])}" for row in rows]
    sheet.write_text("\n".join(["input,file,full,label", *lines]))
    return len(rows)


def test_only_disagreements_are_asked_and_the_signed_count_is_of_clips(state_dir: Path, tmp_path: Path) -> None:
    sheet, signed = tmp_path / "sheet.csv", tmp_path / "camera.json"
    footage = ("--footage", str(state_dir), "--labels", str(sheet))
    first = certify(*footage)
    assert first.exit_code == 0, first.output
    assert "disagreements that shadow runs found" in first.output
    asked = fill_in(sheet)
    assert 3 < asked < CLIPS / 4
    # Frames come and go meanwhile: rows stay with their files.
    kept.delete(kept_frames(state_dir / kept.DIRECTORY, Queue.SAMPLE)[:50])
    write_pair(tmp_path / "yard.key", PrivateKey.new())
    second = certify(*footage, "--key", str(tmp_path / "yard.key"), "--certificate", str(signed))
    assert second.exit_code == 0, second.output
    assert "need a label" not in second.output
    assert "of 3" in second.output
    statement = read_statement(parse_envelope(signed.read_bytes(), 1 << 20).payload, "here")
    statement.check(BUNDLE)
    assert (statement.inputs, statement.clip, statement.data[:10]) == (CLIPS - 50, 1, "footage of")
    assert {each.risk for each in statement.points} == {Risk.NEWLY_WRONG}
    by_name = {each.name: each for each in statement.points}
    assert by_name["int8"].n == CLIPS - 50
    assert by_name["int8"].disagreed is not None
    assert by_name["int8"].disagreed >= by_name["int8"].failures
    held = statement.ladder(BUNDLE.ladder)
    assert held.full.certified_risk == 0
    assert {point.name for point in held.points if point.certificate} == set(by_name)
    # Beside the frames, where who counts again without the sheet finds them.
    labels = read_kept_labels(state_dir / kept.DIRECTORY)
    assert labels
    assert all(truth(file) == label for file, label in labels.items())
    third = certify("--footage", str(state_dir), "--key", str(tmp_path / "yard.key"), "--certificate", str(signed))
    assert third.exit_code == 0, third.output
    again = read_statement(parse_envelope(signed.read_bytes(), 1 << 20).payload, "here")
    assert again.points == statement.points


def test_the_page_shows_kept_frames_by_their_file(state_dir: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.csv"
    assert certify("--footage", str(state_dir), "--labels", str(sheet)).exit_code == 0
    whole = read_footage(state_dir).whole
    whole.frames[0].path.unlink()
    opened = OpenSheet.of(sheet, whole, BUNDLE.labels)
    place, file = opened.rows()[0].input, opened.rows()[0].file
    with LabelServer(opened, whole) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request("GET", f"/{server.secret}/picture/{place}")
        answer = connection.getresponse()
        assert (answer.status, answer.read()[:4]) == (200, b"\x89PNG")
        (state_dir / kept.DIRECTORY / file).unlink()
        connection.request("GET", f"/{server.secret}/picture/{place}")
        gone = connection.getresponse()
        assert (gone.status, b"frames come and go" in gone.read()) == (400, True)
        connection.close()
        server.shutdown()
        serving.join()
    opened.give(place, BUNDLE.labels[3])
    assert f",{file},{opened.rows()[0].full},{BUNDLE.labels[3]}" in sheet.read_text()


def test_frames_that_make_room_meanwhile_are_left_out(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sheet, signed = tmp_path / "sheet.csv", tmp_path / "camera.json"
    footage = ("--footage", str(state_dir), "--labels", str(sheet))
    assert certify(*footage).exit_code == 0
    fill_in(sheet)
    listed = read_footage(state_dir)
    # What an agent does between the listing and the reading.
    kept.delete(listed.sample.frames[100:150])
    kept.delete(listed.apart.frames[:2])
    ceiling = sorted(frame.key for frame in listed.sample.frames)[-30]
    (state_dir / kept.DIRECTORY / CEILINGS).write_text(json.dumps([[BEGAN_S, ceiling]]))
    below = [frame for frame in listed.sample.frames if frame.path.exists() and frame.key < ceiling]
    monkeypatch.setattr(bundle_certify, "counted_on", lambda *_, **__: listed)
    write_pair(tmp_path / "yard.key", PrivateKey.new())
    found = certify(*footage, "--key", str(tmp_path / "yard.key"), "--certificate", str(signed))
    assert found.exit_code == 0, found.output
    assert f"left out, as they made room for others meanwhile: {603 - len(below) - 1} of 603" in found.stderr
    assert "need a label" not in found.output
    statement = read_statement(parse_envelope(signed.read_bytes(), 1 << 20).payload, "here")
    assert statement.inputs == len(below) < CLIPS - 50
    assert {each.n for each in statement.points} == {len(below)}
    # As whoever counts what is left gets it: labels stay with their files.
    monkeypatch.undo()
    assert certify(*footage, "--key", str(tmp_path / "yard.key"), "--certificate", str(signed)).exit_code == 0
    again = read_statement(parse_envelope(signed.read_bytes(), 1 << 20).payload, "here")
    assert (again.points, again.data_sha256) == (statement.points, statement.data_sha256)


def test_where_all_frames_are_gone_it_is_said(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = read_footage(state_dir)
    kept.delete([*listed.sample.frames, *listed.apart.frames])
    monkeypatch.setattr(bundle_certify, "counted_on", lambda *_, **__: listed)
    found = certify("--footage", str(state_dir))
    assert found.exit_code == 65
    assert "all of the 600 kept clips made room for others" in " ".join(found.stderr.split())


def test_what_is_no_footage_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no frames are kept there"):
        read_footage(tmp_path)
    both = certify("--footage", str(tmp_path), "--data", str(tmp_path))
    assert both.exit_code == 64
    assert "name one of them" in both.stderr
    nobody = certify("--footage", str(tmp_path), "--certificate", str(tmp_path / "c.json"))
    assert nobody.exit_code == 65
    assert "name a --key" in nobody.stderr


def test_frames_of_another_bundle_are_said(state_dir: Path) -> None:
    store = FootageStore(state_dir / kept.DIRECTORY, 1 << 30, 1e12)
    store.put(Frame(np.zeros((1, 9, 9), np.float32), "door"), BEGAN_S + 5000, 0.1)
    refused = certify("--footage", str(state_dir))
    assert refused.exit_code == 65
    assert "is of another shape than those before it" in " ".join(refused.stderr.split())


def test_damaged_labels_are_none(tmp_path: Path) -> None:
    for text in ("[", "[]", json.dumps({"a": "b", "c": -1, "d": 4})):
        (tmp_path / "labels.json").write_text(text)
        assert read_kept_labels(tmp_path) in ({}, {"d": 4})
