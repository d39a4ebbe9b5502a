"""Models that are handed over: kept, opened once, replaced only by one that opens, and there after a restart."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="needs the extra onnx")

from tidegate.engines.onnxruntime.file_variant import FileVariant
from tidegate.worker.frigate.hand_over import KEPT, HandOver
from tidegate_bench.frigate.subject import keep_file, picture


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    made = tmp_path_factory.mktemp("files") / "model.onnx"
    found = []
    for version in range(KEPT + 2):
        keep_file(made, version)
        found.append(made.read_bytes())
    return found


class Opening:
    """Opens files for real, and counts."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, path: Path, name: str) -> FileVariant:
        self.times += 1
        return FileVariant(path, name)


def test_a_model_is_taken_opened_once_and_there_after_a_restart(tmp_path: Path, files: list[bytes]) -> None:
    opening = Opening()
    kept = HandOver(tmp_path, opening)
    assert not kept.has("a.onnx")
    assert kept.take("a.onnx", files[0]) == (True, "")
    assert kept.take("a.onnx", memoryview(files[0])) == (True, "")
    assert kept.has("a.onnx")
    assert kept.open_named("a.onnx") == ""
    assert opening.times == 1, "Frigate asks again at each timeout, and models must not pile up"
    assert kept.variant is not None
    before = kept.variant.run(picture(0, 0, 0)).outputs
    again = HandOver(tmp_path, opening)
    again.open_last()
    assert again.variant is not None
    assert again.variant.point.name == "a.onnx"
    assert again.variant.input_shape == picture(0, 0, 0).shape
    assert np.array_equal(again.variant.run(picture(0, 0, 0)).outputs, before)


def test_what_does_not_open_is_not_kept_and_the_model_before_goes_on(tmp_path: Path, files: list[bytes]) -> None:
    kept = HandOver(tmp_path, FileVariant)
    assert kept.take("a.onnx", files[0]) == (True, "")
    before = kept.variant
    taken, reason = kept.take("a.onnx", b"no model")
    assert not taken
    assert "ONNX Runtime refuses the graph" in reason
    assert kept.variant is before
    assert len([*tmp_path.glob("*.onnx")]) == 1
    assert kept.take("", files[0])[0] is False


def test_the_last_one_answers_and_the_oldest_go(tmp_path: Path, files: list[bytes]) -> None:
    kept = HandOver(tmp_path, FileVariant)
    for number, content in enumerate(files):
        assert kept.take(f"{number}.onnx", content) == (True, "")
    assert len([*tmp_path.glob("*.onnx")]) == KEPT
    assert not kept.has("0.onnx")
    assert kept.has(f"{len(files) - 1}.onnx")
    assert kept.open_named(f"{len(files) - 2}.onnx") == ""
    again = HandOver(tmp_path, FileVariant)
    again.open_last()
    assert again.variant is not None
    assert again.variant.point.name == f"{len(files) - 2}.onnx"


@pytest.mark.parametrize("index", [b"", b"[]", b"{", b'{"a": 1}', b'{"a": "../../etc/passwd"}'])
def test_a_damaged_index_is_as_none(tmp_path: Path, index: bytes) -> None:
    (tmp_path / "models.json").write_bytes(index)
    kept = HandOver(tmp_path, FileVariant)
    kept.open_last()
    assert kept.variant is None
    assert not kept.has("a")
