"""On arm64 no session uses the kernels that keep memory; elsewhere ONNX Runtime's defaults stay."""

import platform
from importlib.metadata import files
from pathlib import Path

import pytest

from tidegate.engines.onnxruntime.protobuf import ElementType, OnnxGraph, OnnxNode, ValueInfo, model_bytes
from tidegate.engines.onnxruntime.session import open_session

OPTION = "mlas.disable_kleidiai"
X, Y = (ValueInfo(name, ElementType.FLOAT, (1, 4)) for name in "xy")
MODEL = model_bytes(OnnxGraph("relu", [OnnxNode("Relu", ("x",), ("y",))], [X], [Y]))


@pytest.mark.parametrize("machine", ["aarch64", "arm64"])
def test_on_arm64_every_session_goes_without_kleidiai(monkeypatch: pytest.MonkeyPatch, machine: str) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    options = open_session(MODEL, None, 1).get_session_options()
    assert options.get_session_config_entry(OPTION) == "1"


def test_elsewhere_the_option_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    options = open_session(MODEL, None, 1).get_session_options()
    with pytest.raises(RuntimeError, match="does not have configuration"):
        options.get_session_config_entry(OPTION)


def test_this_onnxruntime_knows_the_option() -> None:
    # A name that it does not know would be taken without a word.
    installed = files("onnxruntime") or []
    libraries = [Path(each.locate()) for each in installed if each.match("*pybind11_state*")]
    assert any(OPTION.encode() in library.read_bytes() for library in libraries)
