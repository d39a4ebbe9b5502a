"""The bundle commands' words and exit codes, where a build is refused or a page is written."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tidegate.calibration.report import page as report_page
from tidegate.cli.main import application
from tidegate.cli.task_options import task_options
from tidegate.models.bundle import open_bundle
from tidegate.models.task import Task

SHIPPED = Path(__file__).parents[3] / "profiles" / "bundles" / "digits"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "nowhere"], "names no function and no model file; allowed"),
        (["--model", "json:loads", "--risk", "luck"], "allowed are newly_wrong"),
    ],
)
def test_a_build_that_can_not_be_is_refused_with_data_error(
    tmp_path: Path, options: list[str], words: str
) -> None:
    arguments = ["bundle", "build", *options, "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(application(), arguments)
    assert result.exit_code == 65
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--task", "detect", "--risk", "disagreement"], "give one"),
        (["--bound", "0.1"], "belong to a --task"),
        (["--task", "embed", "--detect-layout", "yolox"], "belongs to --task detect"),
        (["--detect-score", "0.3"], "belong to a --task"),
        (["--task", "segment", "--detect-sure", "0.6"], "--detect-sure 0.6: belongs to --task detect"),
        (["--task", "classify", "--detect-anchors", "1,2"], "belongs to --task detect"),
        (["--task", "detect", "--names", "cat,cat"], "needed are different ones"),
        (["--task", "keyword", "--blank", "0"], "--blank 0: belongs to --task text"),
        (["--blank", "-1"], "belong to a --task"),
        (["--task", "detect", "--detect-anchors", "10,13 16"], "nine pairs of pixels"),
        (["--task", "detect", "--detect-anchors", "1,2 " * 8 + "0,1"], "nine pairs of pixels"),
    ],
)
def test_options_of_tasks_that_contradict_each_other_are_refused_before_anything_is_read(
    tmp_path: Path, options: list[str], words: str
) -> None:
    arguments = ["bundle", "build", "--model", "a:b", *options, "--data", "d", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(application(), arguments)
    assert result.exit_code == 64
    assert words in result.stderr


def test_names_are_a_file_or_any_number_with_commas_between_them(tmp_path: Path) -> None:
    names = tuple(f"class-{number}" for number in range(1000))
    (tmp_path / "names.txt").write_text("\n".join(names))
    for given in (",".join(names), str(tmp_path / "names.txt")):
        options = task_options(Task.DETECT, None, None, None, given, None, 0.25, 0.45, 0.5, None, None)
        assert options is not None
        assert options.classes == names


def test_spaces_and_line_breaks_of_other_scripts_are_letters(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_bytes("a\r\n\u2028\r\n\u3000\r\n \r\n".encode())
    given = str(tmp_path / "letters.txt")
    options = task_options(Task.TEXT, None, None, None, given, None, 0.25, 0.45, 0.5, None, -1)
    assert options is not None
    assert (options.classes, options.blank) == (("a", "\u2028", "\u3000", " "), -1)


def test_a_bundle_s_task_is_shown() -> None:
    result = CliRunner().invoke(application(), ["bundle", "inspect", str(SHIPPED)])
    assert "task: classify; a failure: the full model is right and the point is wrong" in result.stdout


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """The shipped bundle with the first points of its ladder: the report starts a process for each."""
    copy = tmp_path / "short"
    shutil.copytree(SHIPPED, copy)
    ladder = json.loads((SHIPPED / "ladder.json").read_text())
    ladder["points"] = [point for point in ladder["points"] if point["engine"] in {"eager", "onnx"}][:3]
    text = json.dumps(ladder).encode()
    (copy / "ladder.json").write_bytes(text)
    manifest = json.loads((SHIPPED / "bundle.json").read_text())
    manifest["files"]["ladder.json"] = {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}
    (copy / "bundle.json").write_text(json.dumps(manifest))
    return copy


def check_report(bundle: Path, page: Path) -> None:
    result = CliRunner().invoke(application(), ["bundle", "report", str(bundle), "--out", str(page)])
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "int8" in text
    for point in open_bundle(bundle).ladder.points:
        assert point.name in text


def test_a_report_is_one_page(short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_page, "MAX_SAMPLES", 8)
    check_report(short, tmp_path / "ladder.html")


@pytest.mark.slow
@pytest.mark.timeout(400)  # a process per point, each of which imports its engine: 37 s on a free machine
def test_a_report_of_the_shipped_bundle_is_one_page(tmp_path: Path) -> None:
    check_report(SHIPPED, tmp_path / "ladder.html")
