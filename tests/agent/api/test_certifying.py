"""`tidegate.certify` and `tidegate bundle certify`: a shipped ladder, counted on inputs of one's own."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import tidegate
from tidegate.calibration.recertify.recertify import RecertifyError
from tidegate.cli.bundle_certificate import certificate_path
from tidegate.cli.main import application
from tidegate.engines.bundle_check import verify
from tidegate.models.bundle import Bundle, open_bundle
from tidegate.models.bundle.statement import PAYLOAD_TYPE, StatementError, read_statement
from tidegate.models.ladder import Compared, Comparison, Risk
from tidegate.paths import profiles_directory
from tidegate.trust.dsse import Envelope, parse_envelope
from tidegate.trust.key_file import read_private, write_pair
from tidegate.trust.keys import PrivateKey

DIGITS = profiles_directory() / "bundles" / "digits"
COPIES = 4
"""Of the 200 samples that a bundle has, slightly changed: enough to certify something."""


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return open_bundle(DIGITS)


@pytest.fixture(scope="module")
def inputs(bundle: Bundle) -> np.ndarray:
    noise = np.random.default_rng(5).normal(0, 0.08, (COPIES * 200, 1, 8, 8))
    return (np.concatenate([bundle.samples().inputs()] * COPIES) + noise).astype(np.float32)


@pytest.fixture(scope="module")
def labels(bundle: Bundle) -> np.ndarray:
    known = bundle.samples().labels
    assert known is not None
    return np.concatenate([known] * COPIES)


def certify(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["bundle", "certify", str(DIGITS), "--engine", "onnx", *arguments])


def test_few_labels_are_as_good_as_all(bundle: Bundle, inputs: np.ndarray, labels: np.ndarray) -> None:
    everything = tidegate.certify(bundle, inputs, labels, engine="onnx")
    none = tidegate.certify(bundle, inputs, np.full(len(inputs), -1), engine="onnx")
    assert 0 < len(none.to_label) < len(inputs) / 4
    few = np.full(len(inputs), -1)
    few[none.to_label] = labels[none.to_label]
    asked = tidegate.certify(bundle, inputs, few, engine="onnx")
    assert asked.failures == everything.failures
    assert asked.certificates == everything.certificates
    assert len(asked.to_label) == 0
    assert all(none.failures[name] >= count for name, count in asked.failures.items())
    held = asked.certificates["int8"]
    assert held is not None
    assert (held.risk, held.n) == (Risk.NEWLY_WRONG, len(inputs))


def test_without_labels_disagreement_is_certified(bundle: Bundle, inputs: np.ndarray) -> None:
    found = tidegate.certify(bundle, inputs, clips=np.arange(len(inputs)) // 2, engine="onnx")
    held = found.certificates["int8"]
    assert held is not None
    assert (held.risk, held.n) == (Risk.DISAGREEMENT, len(inputs) // 2)


def test_arrays_that_do_not_fit_are_refused(bundle: Bundle, inputs: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"labels have the shape \(3,\), needed is \(800,\)"):
        tidegate.certify(bundle, inputs, [1, 2, 3], engine="onnx")


def test_the_command_asks_for_labels_and_writes_a_bundle(
    tmp_path: Path, inputs: np.ndarray, labels: np.ndarray
) -> None:
    data, sheet, out = tmp_path / "yard.npz", tmp_path / "sheet.csv", tmp_path / "yard"
    np.savez(data, inputs=inputs)
    first = certify("--data", str(data), "--labels", str(sheet))
    assert first.exit_code == 0, first.output
    assert "inputs that need a label" in first.output
    rows = list(csv.DictReader(sheet.open()))
    filled = ["input,label", *(f"{row['input']},{labels[int(row['input'])]}" for row in rows)]
    sheet.write_text("\n".join(filled))
    write_pair(tmp_path / "yard.key", PrivateKey.new())
    signed = ("--out", str(out), "--clip", "2", "--key", str(tmp_path / "yard.key"))
    second = certify("--data", str(data), "--labels", str(sheet), *signed)
    assert second.exit_code == 0, second.output
    assert "that need a label" not in second.output
    written = open_bundle(out)
    assert all(check.ok for check in verify(out))
    assert written.calibration.data == "yard.npz"
    assert written.calibration.parts["certify"] != open_bundle(DIGITS).calibration.parts["certify"]
    assert {point.certificate.n for point in written.ladder.points if point.certificate} == {len(inputs) // 2}
    check_certificate(tmp_path, out, len(rows))
    again = certify("--data", str(data), "--labels", str(sheet), "--out", str(out))
    assert again.exit_code == 65
    assert "is there already" in again.stderr


def check_certificate(directory: Path, bundle: Path, labelled: int) -> None:
    """Whose word it is, for which bundle, on which runtime."""

    def asked(bundle: Path, key: Path, *more: str) -> Result:
        arguments = ["bundle", "certificate", str(bundle), "--trusted", str(key), *more]
        return CliRunner().invoke(application(), arguments)

    key, other = directory / "yard.pub", directory / "other.pub"
    write_pair(directory / "other.key", PrivateKey.new())
    shown = asked(bundle, key)
    assert shown.exit_code == 0, shown.output
    said = " ".join(shown.output.split())
    assert f"digits on yard.npz, 800 inputs in clips of 2, {labelled} labelled, delta 0.05" in said
    assert "count again for this device" not in said
    told = json.loads(asked(bundle, key, "--json").stdout)
    assert (told["signed_by"], told["labelled"], told["count_again"]) == ([str(key)], labelled, False)
    stranger = asked(bundle, other)
    assert stranger.exit_code == 65
    assert f"is not signed by {other}" in " ".join(stranger.stderr.split())
    path = bundle.with_name("yard.certificate.json")
    moved = asked(DIGITS, key, "--certificate", str(path))
    assert moved.exit_code == 65
    assert "the certificate is for a bundle of SHA-256" in " ".join(moved.stderr.split())
    statement = read_statement(parse_envelope(path.read_bytes(), 1 << 20).payload, "here")
    assert {each.name: each.failures for each in statement.points} == {
        point.name: point.certificate.failures for point in open_bundle(bundle).ladder.points if point.certificate
    }
    elsewhere = statement.model_copy(update={"placement": "onnx on cpu, onnxruntime 1.0, Debian 1"})
    envelope = Envelope(PAYLOAD_TYPE, elsewhere.model_dump_json().encode())
    path.write_bytes(envelope.signed_by([read_private(directory / "yard.key")]).to_json())
    updated = " ".join(asked(bundle, key).output.split())
    assert "counted on onnx on cpu, onnxruntime 1.0, Debian 1; here is onnx on cpu, onnxruntime" in updated
    assert "count again for this device" in updated
    path.write_bytes(b"[" * 1000)
    torn = asked(bundle, key)
    assert torn.exit_code == 65
    assert f"{path}: envelope, at whole document: found" in " ".join(torn.stderr.split())
    absent = asked(directory / "none", key)
    assert absent.exit_code != 0
    assert "certificate" not in absent.stderr


def test_what_is_signed_is_written(tmp_path: Path) -> None:
    unwritten = certify("--data", str(tmp_path / "none.npz"), "--key", str(tmp_path / "yard.key"))
    assert unwritten.exit_code == 65
    assert "--key signs what --out writes" in unwritten.stderr


def test_a_key_is_asked_for_before_anything_is_counted_or_written(tmp_path: Path) -> None:
    write_pair(tmp_path / "yard.key", PrivateKey.new())
    out = tmp_path / "yard"
    for name, words in (("none.key", "can't be read"), ("yard.pub", "found a public key, which signs nothing")):
        # There are no data either: had they been read first, this would be about them.
        refused = certify("--data", str(tmp_path / "none.npz"), "--out", str(out), "--key", str(tmp_path / name))
        assert refused.exit_code == 65
        assert words in " ".join(refused.stderr.split())
    assert not out.exists()


def test_a_certificate_is_beside_its_bundle_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "yard" / "deep").mkdir(parents=True)
    beside = tmp_path / "yard.certificate.json"
    assert certificate_path(tmp_path / "yard") == beside
    monkeypatch.chdir(tmp_path / "yard")
    assert certificate_path(Path()) == beside
    monkeypatch.chdir(tmp_path / "yard" / "deep")
    assert certificate_path(Path("..")) == beside


@pytest.mark.parametrize(
    ("payload", "words"),
    [(b"{}", "here, at model: is missing"), (b"no json", "here, at whole document: Invalid JSON")],
)
def test_what_is_no_statement_is_refused(payload: bytes, words: str) -> None:
    with pytest.raises(StatementError, match=words):
        read_statement(payload, "here")


def test_what_can_not_be_certified_is_said(tmp_path: Path, inputs: np.ndarray) -> None:
    few, wide = tmp_path / "few.npz", tmp_path / "wide.npz"
    np.savez(few, inputs=inputs[:20])
    np.savez(wide, inputs=np.zeros((20, 1, 9, 9), np.float32))
    nothing = certify("--data", str(few), "--out", str(tmp_path / "out"))
    assert nothing.exit_code == 65
    assert "no point is certified on these inputs" in nothing.stderr
    assert not (tmp_path / "out").exists()
    other = certify("--data", str(wide))
    assert other.exit_code == 65
    assert "takes inputs of the shape (1, 8, 8), these have (1, 9, 9)" in other.stderr


def test_a_users_own_comparison_can_not_be_carried_on(bundle: Bundle, inputs: np.ndarray) -> None:
    own = replace(bundle, calibration=replace(bundle.calibration, comparison=Comparison(Compared.OWN)))
    with pytest.raises(RecertifyError, match="function of its builder's own"):
        tidegate.certify(own, inputs, engine="onnx")
