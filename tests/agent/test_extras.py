"""Packages that only some commands need, where they are missing: named, with the command that installs them."""

import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

from tidegate.cli.main import main
from tidegate.extras import missing
from tidegate.paths import profiles_directory

BUNDLE = str(profiles_directory() / "bundles" / "digits")


def without(modules: tuple[str, ...], *arguments: str) -> subprocess.CompletedProcess[str]:
    """tidegate in a process in which these modules can't be imported."""
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({modules!r})); sys.argv[0] = 'tidegate'\n"
        "from tidegate.cli.main import main; main()"
    )
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)


@pytest.mark.parametrize(
    ("module", "arguments", "package"),
    [
        ("torch", ("bundle", "build", "--model", "a:b", "--data", "d", "--out", "{new}"), "torch"),
        ("torch", ("bundle", "report", BUNDLE, "--out", "{new}"), "torch"),
        ("torch", ("bench", "engine", "--quick"), "torch"),
        ("matplotlib", ("bundle", "report", BUNDLE, "--out", "{new}"), "matplotlib>="),
        ("sklearn", ("bundle", "build-demo", "--out", "{new}"), "scikit-learn>="),
        (
            "PIL",
            (
                "bundle",
                "build",
                "--model",
                "tidegate.calibration.data.digits.net:DigitsNet",
                "--data",
                "{pictures}",
            ),
            "pillow>=",
        ),
    ],
)
def test_a_command_names_the_package_that_it_lacks(
    tmp_path: Path, module: str, arguments: tuple[str, ...], package: str
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "one.png").write_bytes(b"")
    filled = [each.format(new=tmp_path / "new", pictures=pictures) for each in arguments]
    if "{pictures}" in arguments:
        filled += ["--out", str(tmp_path / "new")]
    refused = without((module,), *filled)
    assert refused.returncode == 69, refused.stderr
    assert "Traceback" not in refused.stderr
    assert f"pip install '{package}" in refused.stderr or f"pip install {package}" in refused.stderr
    assert "is missing" in refused.stderr


WITHOUT_RUNTIMES = """
import importlib.metadata as metadata
real = metadata.version
def version(name):
    if name in ("torch", "onnxruntime", "ai-edge-litert"):
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
from tidegate.cli.main import main
main()
"""


@pytest.mark.parametrize("engine", ["auto", "eager", "onnx"])
def test_a_service_whose_engine_is_missing_says_so_at_once(tmp_path: Path, engine: str) -> None:
    config = tmp_path / "agent.yaml"
    policy = profiles_directory() / "policies" / "demo.yaml"
    config.write_text(
        f"device: a\nbundle: {BUNDLE}\npolicy: {policy}\nlisten: {{tcp: 0}}\n"
        f"state_dir: {tmp_path / 'state'}\nworker: {{engine: {engine}}}\n"
    )
    command = [sys.executable, "-c", WITHOUT_RUNTIMES, "run", "--config", str(config)]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert refused.returncode == 69, refused.stderr
    assert "Traceback" not in refused.stderr
    assert f"{config}: " in refused.stderr
    runtime = "torch" if engine == "eager" else "onnxruntime"
    assert re.search(rf"pip install .?{runtime}[<=]", refused.stderr)


def test_what_is_not_ours_to_miss_stays_a_fault() -> None:
    assert missing("no_such_module_at_all") is None
    assert missing("numpy") is None


def test_every_optional_package_is_known_with_the_versions_tried() -> None:
    stated = " ".join(requires("tidegate") or ())
    for module in (
        "torch",
        "onnxruntime",
        "onnx",
        "openvino",
        "sklearn",
        "PIL",
        "matplotlib",
        "pynvml",
    ):
        told = missing(module)
        assert told is not None, (module, stated)
        assert sys.executable in told
    assert "scikit-learn (module sklearn) is missing" in (missing("sklearn.datasets") or "")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nope",),
        ("bench",),
        ("status", "--nope"),
        ("bundle", "inspect"),
        ("bundle", "inspect", "a", "b"),
        ("bundle", "build", "--aim", "luck"),
        ("demo", "--seconds", "soon"),
        ("demo", "--engine", "tflite"),
        ("doctor", "--meter", "nonsense"),
        ("policy", "push", "p.yaml", "--device", "a", "--fleet"),
        ("bench", "engine", "--network", "nope"),
    ],
)
def test_a_wrong_command_line_exits_64(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tidegate", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 64


def test_a_process_exits_with_the_code_of_main() -> None:
    assert without((), "nope").returncode == 64


def test_json_of_a_command_that_needs_none_of_them_is_there_without_them() -> None:
    listed = without(
        ("torch", "onnxruntime", "sklearn", "PIL", "matplotlib"), "bundle", "inspect", BUNDLE, "--json"
    )
    assert json.loads(listed.stdout)["points"]
