"""A user's own module is found in the working directory, whatever else is called so, and takes nobody's place."""

import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import tidegate
from tidegate import child
from tidegate.calibration.certify.risk import RiskError, risk_of
from tidegate.calibration.progress import silent
from tidegate.calibration.sources import SourceError, open_model
from tidegate.calibration.users_code import UsersCodeError, find_function
from tidegate.models.importing.discovery import discover

NET = """
import torch
from torch import nn
{imports}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        {late}
        return self.body(x) * SCALE

def make():
    torch.manual_seed(0)
    return Net()
"""


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        file = root / (name.replace("__", "/") + ".py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.mark.parametrize(
    ("path", "imports", "late", "sibling"),
    [
        ("net", "from layers import SCALE", "", "layers"),
        ("agent.net", "from agent.layers import SCALE", "", "agent/layers"),
        ("agent.net", "from .layers import SCALE", "", "agent/layers"),
        ("agent.net", "import agent.layers as l; SCALE = l.SCALE", "", "agent/layers"),
        ("agent.net", "", "import agent.layers; SCALE = agent.layers.SCALE", "agent/layers"),
        ("drivers.deep.net", "from ..layers import SCALE", "", "drivers/layers"),
        ("models.net", "from drivers.layers import SCALE", "", "drivers/layers"),
        ("yaml", "from layers import SCALE", "", "layers"),
        ("numpy.net", "from numpy.layers import SCALE", "", "numpy/layers"),
        ("torch.net", "SCALE = 2.0", "", None),
        ("json", "SCALE = 2.0", "", None),
    ],
)
@pytest.mark.parametrize("packaged", [True, False])
def test_the_users_module_is_taken_and_ours_stay(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    imports: str,
    late: str,
    sibling: str | None,
    packaged: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / (path.replace(".", "/") + ".py")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(NET.format(imports=imports, late=late or "pass"))
    if sibling is not None:
        (tmp_path / sibling).parent.mkdir(exist_ok=True)
        (tmp_path / f"{sibling}.py").write_text("SCALE = 2.0\n")
    if packaged:
        for folder in {file.parent, *(each.parent for each in tmp_path.rglob("*.py"))} - {tmp_path}:
            (folder / "__init__.py").write_text("")
    before = dict(sys.modules)
    said: list[str] = []
    model = open_model(f"{path}:make", said.append).module((4,), None)
    assert said == [f"model: {path}:make in {file}"]
    assert model(torch.ones(2, 4)).shape == (2, 3)
    if late:  # what a forward pass imports, an export must find as well
        assert discover(model, torch.ones(2, 4)).network.segments
    for name in ("agent", "drivers", "yaml", "numpy", "torch", "json", "tidegate.calibration"):
        assert sys.modules.get(name) is before.get(name)
    assert "layers" not in sys.modules


def test_what_the_libraries_import_never_comes_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = "open(__file__ + '.ran', 'w')\nraise SystemExit(1)\n"
    for name in ("numpy", "yaml", "typing_extensions", "sympy", "sitecustomize", "tidegate/__init__", "optree"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.py").write_text(trap)
    (tmp_path / "net.py").write_text(
        NET.format(imports="import numpy as np, yaml\nSCALE = np.float32(2)", late="")
    )
    np.savez(tmp_path / "few.npz", inputs=np.zeros((4, 4), np.float32))
    monkeypatch.chdir(tmp_path)
    command = child.command(
        "tidegate.cli.main", "bundle", "build", "--model", "net:make", "--data", "few.npz", "--out", "out"
    )
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=100, env=child.environment(COLUMNS="200")
    )
    # The model was made; too few inputs are what it ends with.
    assert done.returncode == 65, done.stderr
    assert "4 inputs are too few" in done.stderr
    assert list(tmp_path.rglob("*.ran")) == []


def test_a_pickled_model_finds_its_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = NET.format(imports="SCALE = 2.0", late="pass")
    (tmp_path / "shapes_of_mine.py").write_text(net)
    (tmp_path / "kept.py").write_text(
        "import torch, shapes_of_mine\ndef make():\n    return torch.load('net.pt', weights_only=False)\n"
    )
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as elsewhere:
        elsewhere.syspath_prepend(tmp_path)
        torch.save(importlib.import_module("shapes_of_mine").make(), "net.pt")
    del sys.modules["shapes_of_mine"]
    assert open_model("kept:make", silent).module((4,), None)(torch.ones(1, 4)).shape == (1, 3)


def test_installed_modules_are_found_where_the_folder_has_none(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    found = find_function("tidegate.import_path:absolute_python_path", tmp_path)
    assert found({}) == ""
    assert found.file == str(Path(tidegate.__file__).parent / "import_path.py")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (
            "agent.nothing:make",
            ["no module agent.nothing", "{root}/agent/nothing.py", "{root}/agent/nothing/__init__.py"],
        ),
        ("nothing_here:make", ["no module nothing_here", "{root}/nothing_here.py", "installed packages"]),
        ("net.py:make", ["no module net.py", "say net:FUNCTION"]),
        ("net", ["names no function and no model file; allowed are package.module:factory"]),
        ("../net:make", ["names no function; allowed is package.module:function"]),
        ("net:absent", ["{root}/net.py has no absent; it has Net, make"]),
        ("net:SCALE", ["{root}/net.py: SCALE is float, needed is a function"]),
        ("broken:make", ["{root}/broken.py, line 2: ", "SyntaxError"]),
        ("needs:make", ["{root}/needs.py, line 1: ModuleNotFoundError: No module named 'not_there_at_all'"]),
        ("fails:make", ["{root}/fails.py, line 2: ZeroDivisionError: division by zero"]),
        ("ends:make", ["{root}/ends.py, line 1: SystemExit: over"]),
    ],
)
def test_errors_say_where_was_looked_and_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, told: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        net=NET.format(imports="SCALE = 2.0", late="pass"),
        broken="x = 1\ndef make(:\n",
        needs="import not_there_at_all\n",
        fails="def make():\n    return 1 / 0\n",
        ends="raise SystemExit('over')\n",
    )
    with pytest.raises(SourceError) as refused:
        open_model(path, silent)
    for part in told:
        assert part.format(root=tmp_path) in str(refused.value)


def test_a_risk_of_ones_own_is_found_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, agent__mine="def apart(full, outputs):\n    return abs(full - outputs).max(1) > 0.5\n")
    risk = risk_of("agent.mine:apart")
    assert risk.failures(np.zeros((2, 3)), np.array([[0, 0, 1.0], [0, 0, 0]]), None).tolist() == [True, False]
    with pytest.raises(RiskError, match=r"no module agent\.absent"):
        risk_of("agent.absent:apart")


def test_the_folder_is_the_one_of_now(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text(f"def make():\n    return {name!r}\n")
        assert find_function("net:make", tmp_path / name)() == name
    with pytest.raises(UsersCodeError):
        find_function("net:make", tmp_path)
