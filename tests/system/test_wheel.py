"""tidegate installed as a wheel, outside the clone: what its commands read of profiles/ came with it."""

import json
import os
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `tidegate` command of a new environment, which has our libraries and the wheel, but not the clone."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(directory), str(ROOT)]
    subprocess.run([*pip, *build], check=True, timeout=100)
    (wheel,) = directory.glob("tidegate-*.whl")
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(directory / "venv")], check=True, timeout=60
    )
    python = directory / "venv" / "bin" / "python"
    subprocess.run(
        [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)], check=True, timeout=100
    )
    (packages,) = (directory / "venv").glob("lib/python*/site-packages")
    ours = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (packages / "libraries.pth").write_text("\n".join(ours))
    return directory / "venv" / "bin" / "tidegate"


def run(installed: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(installed), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=cwd,
        env={**environment, "CACHE_DIRECTORY": str(cwd / "cache")},
    )


def profiles(installed: Path) -> Path:
    (found,) = installed.parents[1].glob("lib/python*/site-packages/tidegate/profiles")
    return found


@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs tidegate[onnx]")
def test_the_demo_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    done = run(installed, tmp_path, "demo", "--seconds", "6")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["requests_served"] > 0
    assert summary["requests_failed"] == 0
    assert str(ROOT) not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("policy", "check", "{profiles}/policies/demo.yaml", "--board", "raspberry-pi-5"),
        (
            "policy",
            "simulate",
            "--policy",
            "{profiles}/policies/demo.yaml",
            "--trace",
            "{profiles}/traces/field-camera-day.csv",
            "--requests",
            "5",
        ),
        ("bundle", "inspect", "{profiles}/bundles/digits"),
        ("docs", "policy"),
        ("doctor",),
    ],
)
def test_commands_that_read_profiles_run_from_the_wheel(
    installed: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    directory = profiles(installed)
    done = run(installed, tmp_path, *(each.format(profiles=directory) for each in arguments))
    assert done.returncode == 0, done.stderr


def test_everything_that_the_clone_ships_is_in_the_wheel(installed: Path) -> None:
    there = profiles(installed)
    shipped = {file.relative_to(ROOT / "profiles") for file in (ROOT / "profiles").rglob("*") if file.is_file()}
    assert shipped == {file.relative_to(there) for file in there.rglob("*") if file.is_file()}


def test_the_wheel_holds_our_two_packages_and_nothing_else(installed: Path) -> None:
    (wheel,) = installed.parents[2].glob("tidegate-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    packages = {name.partition("/")[0] for name in names}
    (metadata,) = (name for name in packages if name.endswith(".dist-info"))
    assert packages == {"tidegate", "tidegate_drivers", metadata}
    assert {"tidegate/py.typed", "tidegate_drivers/py.typed"} <= set(names)


def test_python_m_tidegate_is_the_command(installed: Path, tmp_path: Path) -> None:
    by_module = run(installed.parent / "python", tmp_path, "-m", "tidegate", "--version")
    assert (by_module.returncode, by_module.stdout) == (0, run(installed, tmp_path, "--version").stdout)


@pytest.mark.parametrize("arguments", [(), ("--help",), ("control", "--quick")])
def test_bench_says_where_the_benchmarks_are(installed: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused = run(installed, tmp_path, "bench", *arguments)
    assert (refused.returncode, refused.stdout) == (69, "")
    assert refused.stderr.count("\n") == 1, refused.stderr
    assert refused.stderr.endswith(f"./install.sh run -- bench {' '.join(arguments) or 'NAME'}\n")


IMPORT = """
import sys, time
start = time.process_time()
import tidegate
print(time.process_time() - start, *sys.modules)
"""


def test_import_is_quick_and_loads_no_arrays(installed: Path, tmp_path: Path) -> None:
    taken_s = []
    for _ in range(5):
        done = run(installed.parent / "python", tmp_path, "-c", IMPORT)
        assert done.returncode == 0, done.stderr
        took_s, *modules = done.stdout.split()
        assert not {"torch", "numpy", "onnxruntime"} & set(modules)
        taken_s.append(float(took_s))
    assert min(taken_s) < 0.060
