"""An ONNX text encoder of several inputs, of which all but the words are fixed: compared, built from, refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
import typer

pytest.importorskip("onnx", reason="NOT RUN: pip install onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper, save

from tidegate.calibration.assemble.model_bundle import BuildError, Request, build_bundle
from tidegate.calibration.data.datasets import DataError, ImageSpec, read_data
from tidegate.calibration.progress import silent
from tidegate.calibration.sources import SourceError, open_model
from tidegate.calibration.sources.agreement import check_agreement
from tidegate.cli.fix_option import fixed_inputs
from tidegate.models.importing.discovery import discover
from tidegate.models.importing.lowering.reader import ExportError

WORDS, WIDTH, LENGTH = 20, 6, 5


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mean of the words that a mask names, times a matrix."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"]),
        helper.make_node("Cast", ["mask"], ["shares"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["shares", "last"], ["column"]),
        helper.make_node("Mul", ["words", "column"], ["kept"]),
        helper.make_node("ReduceMean", ["kept"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "head"], ["y"]),
    ]
    arrays = {
        "table": rng.normal(size=(WORDS, WIDTH)).astype(np.float32),
        "head": rng.normal(size=(WIDTH, 3)).astype(np.float32),
        "last": np.asarray([2]),
    }
    graph = helper.make_graph(
        nodes,
        "encoder",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "length"]) for name in ("ids", "mask")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    path = tmp_path_factory.mktemp("onnx") / "encoder.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_its_graph_answers_as_onnx_runtime_does_with_what_is_fixed(encoder: Path) -> None:
    source = open_model(str(encoder), silent, {"mask": 1})
    assert source.whole
    assert source.answers is not None
    answers = source.answers(None)
    assert answers is not None
    ids = np.random.default_rng(1).integers(0, WORDS, (4, LENGTH))
    network = discover(source.module((LENGTH,), None), torch.from_numpy(ids[:2])).network
    assert check_agreement(network, answers, ids.astype(np.float32), "encoder", "ORT", whole=True) < 1e-6


def test_whole_numbers_come_from_data_of_whole_numbers(encoder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", inputs=np.zeros((400, LENGTH), np.float32))
    request = Request(str(encoder), tmp_path / "data.npz", tmp_path / "out", fixed={"mask": 1})
    with pytest.raises(BuildError, match=r"takes whole numbers, data\.npz holds float32; save `inputs` as int64"):
        build_bundle(request, silent)


def test_inputs_that_differ_by_sample_are_joined_by_name(encoder: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    ids = rng.integers(0, WORDS, (6, LENGTH))
    np.savez(tmp_path / "texts.npz", mask=rng.integers(0, 2, (6, LENGTH)), ids=ids, labels=np.arange(6))
    data = read_data(tmp_path / "texts.npz", ImageSpec(8))
    assert dict(data.parts) == {"ids": (LENGTH,), "mask": (LENGTH,)}
    assert np.array_equal(data.inputs[:, :LENGTH], ids)
    source = open_model(str(encoder), silent, {}, data.parts)
    assert source.answers is not None
    answers = source.answers(None)
    assert answers is not None
    shape = data.inputs.shape[1:]
    network = discover(source.module(shape, None), torch.from_numpy(data.inputs[:2]).long()).network
    assert check_agreement(network, answers, data.inputs, "encoder", "ORT", whole=True) < 1e-6


@pytest.mark.parametrize(
    ("joined", "words"),
    [
        ({"ids": (LENGTH,), "masc": (LENGTH,)}, "takes ids, mask, the data hold ids, masc; name arrays as inputs"),
        ({"ids": (LENGTH,), "mask": (LENGTH, 1)}, r"input mask takes \(any\) per sample, the data hold \(5, 1\)"),
    ],
)
def test_arrays_that_do_not_fit_the_inputs_are_refused(
    encoder: Path, joined: dict[str, tuple[int, ...]], words: str
) -> None:
    with pytest.raises(ExportError, match=words):
        open_model(str(encoder), silent, {}, joined)


def test_arrays_of_different_lengths_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "texts.npz", ids=np.zeros((6, 3), np.int64), mask=np.zeros((5, 3), np.int64))
    with pytest.raises(DataError, match=r"mask is int64 \(5, 3\); needed are"):
        read_data(tmp_path / "texts.npz", ImageSpec(8))


def test_inputs_of_other_models_are_not_fixed() -> None:
    with pytest.raises(SourceError, match=r"inputs of \.onnx files can be fixed or joined; write a factory"):
        open_model("net:make", silent, {"mask": 1})


def test_what_is_fixed_is_named_once_with_a_number() -> None:
    assert fixed_inputs(["mask=1", "a=b=0.5"]) == {"mask": 1.0, "a=b": 0.5}
    for wrong in (["mask"], ["=1"], ["mask=one"], ["mask=1", "mask=0"]):
        with pytest.raises(typer.BadParameter, match="--fix"):
            fixed_inputs(wrong)
