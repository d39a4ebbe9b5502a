"""Packages that only some commands need, where they are missing: named, with the command that installs them."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import requires
from pathlib import Path

import pytest

from tidegate import extras
from tidegate.cli.main import main
from tidegate.engines.runtime import installed
from tidegate.engines.runtime.installed import UnknownEngine, check_installed
from tidegate.engines.runtime.runtimes import AUTO, ENGINES, runtime_of
from tidegate.extras import lacking, missing
from tidegate.paths import profiles_directory

BUNDLE = str(profiles_directory() / "bundles" / "digits")


WITHOUT = """
import json, sys
sys.modules.update(dict.fromkeys(sys.argv[1].split()))
from tidegate.cli.main import main
for words in json.loads(sys.argv[2]):
    sys.argv = ["tidegate", *words]
    try:
        main()
    except SystemExit as ended:
        print("ended with", ended.code, file=sys.stderr)
"""


def without(modules: str, *commands: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """tidegate's commands, one after the other, in a process in which these modules can't be imported."""
    program = [sys.executable, "-c", WITHOUT, modules, json.dumps(commands)]
    return subprocess.run(program, capture_output=True, text=True, check=True, timeout=110)


BUILD_OF_PICTURES = ("bundle", "build", "--model", "tidegate.calibration.data.digits.net:DigitsNet")


@pytest.mark.parametrize(
    ("modules", "commands", "packages"),
    [
        (
            "torch",
            (
                ("bundle", "build", "--model", "a:b", "--data", "d", "--out", "{new}"),
                ("bundle", "report", BUNDLE, "--out", "{new}"),
                ("bench", "engine", "--quick"),
            ),
            ("torch", "torch", "torch"),
        ),
        (
            "sklearn PIL",
            (
                ("bundle", "build-demo", "--out", "{new}"),
                (*BUILD_OF_PICTURES, "--data", "{pictures}", "--out", "{new}"),
            ),
            ("scikit-learn>=", "pillow>="),
        ),
    ],
)
def test_a_command_names_the_package_that_it_lacks(
    tmp_path: Path, modules: str, commands: tuple[tuple[str, ...], ...], packages: tuple[str, ...]
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "one.png").write_bytes(b"")
    said = without(
        modules, *([word.format(new=tmp_path / "new", pictures=pictures) for word in each] for each in commands)
    ).stderr
    assert "Traceback" not in said
    *refusals, after = said.split("ended with 69\n")
    assert after == ""
    for refused, package in zip(refusals, packages, strict=True):
        assert f"pip install '{package}" in refused or f"pip install {package}" in refused
        assert "is missing" in refused


WITHOUT_RUNTIMES = """
import importlib.metadata as metadata
import sys
real = metadata.version
def version(name):
    if name in ("torch", "onnxruntime", "ai-edge-litert", "mlx", "coremltools"):
        raise metadata.PackageNotFoundError(name)
    return real(name)
metadata.version = version
from pathlib import Path
from tidegate.supervisor.__main__ import main
for config in sys.argv[1:]:
    print("ended with", main(Path(config)), file=sys.stderr)
"""


def test_a_service_whose_engine_is_missing_says_so_at_once(tmp_path: Path) -> None:
    lacking = {"auto": "onnxruntime", "eager": "torch", "onnx": "onnxruntime"}
    configs = [tmp_path / f"{engine}.yaml" for engine in lacking]
    policy = profiles_directory() / "policies" / "demo.yaml"
    for config in configs:
        config.write_text(
            f"device: a\nbundle: {BUNDLE}\npolicy: {policy}\nlisten: {{tcp: 0}}\n"
            f"state_dir: {tmp_path / 'state'}\nworker: {{engine: {config.stem}}}\n"
        )
    command = [sys.executable, "-c", WITHOUT_RUNTIMES, *map(str, configs)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=110).stderr
    assert "Traceback" not in said
    *refusals, after = said.split("ended with 69\n")
    assert after == ""
    for refused, config in zip(refusals, configs, strict=True):
        assert f"{config}: " in refused
        assert re.search(rf"pip install .?{lacking[config.stem]}[<=]", refused)


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
    ended = subprocess.run([sys.executable, "-m", "tidegate.cli.main", "nope"], check=False, timeout=110)
    assert ended.returncode == 64


def test_json_of_a_command_that_needs_none_of_them_is_there_without_them() -> None:
    listed = without("torch onnxruntime sklearn PIL matplotlib", ("bundle", "inspect", BUNDLE, "--json"))
    assert json.loads(listed.stdout)["points"]


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        (
            [
                "mlx<1; sys_platform == 'darwin' and extra == 'apple'",
                "mlx[cpu]<1; sys_platform == 'linux' and extra == 'apple'",
            ],
            "'mlx[cpu]<1'",
        ),
        (['mlx[cpu]<1; sys_platform == "linux" and extra == "apple"'], "'mlx[cpu]<1'"),
        (["mlx<1; sys_platform == 'darwin' and extra == 'apple'"], "pip install mlx"),
        ([], "pip install mlx"),
    ],
)
def test_what_is_lacking_is_told_for_this_platform_and_never_none(
    monkeypatch: pytest.MonkeyPatch, stated: list[str], told: str
) -> None:
    monkeypatch.setattr(extras.sys, "platform", "linux")
    monkeypatch.setattr(extras, "requires", lambda name: stated)
    assert lacking("mlx").startswith("mlx is missing; install it: ")
    assert told in lacking("mlx")


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != AUTO])
def test_no_engine_is_lacking_without_a_word(monkeypatch: pytest.MonkeyPatch, engine: str) -> None:
    monkeypatch.setattr(installed, "installed_version", lambda package: None)
    monkeypatch.setattr(extras, "requires", lambda name: [])
    with pytest.raises(UnknownEngine, match=rf"engine {engine}: {runtime_of(engine)} is missing; install it"):
        check_installed(engine)
