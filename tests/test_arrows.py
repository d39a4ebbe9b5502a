"""The import arrows of the design: who may know whom, and which processes stay free of torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FORBIDDEN = {
    "drivers": ("tidegate", "torch"),
    "agent/tidegate/policy": (
        ".supervisor",
        ".worker",
        ".engines",
        ".telemetry",
        ".cli",
        "torch",
    ),
    "agent/tidegate/models/ladder.py": ("tidegate", "torch", "numpy", "pathlib", "socket", "os"),
    "agent/tidegate/telemetry": (
        ".supervisor",
        ".worker",
        ".engines",
        ".models",
        ".cli",
        "torch",
    ),
    "agent/tidegate/supervisor": (
        ".worker",
        ".engines",
        ".calibration",
        ".cli",
        "torch",
    ),
    "agent/tidegate/worker": (
        ".supervisor",
        ".policy",
        ".telemetry",
        ".calibration",
        "tidegate_drivers",
    ),
    "agent/tidegate/engines": (
        ".worker",
        ".supervisor",
        ".policy",
        ".calibration",
        "tidegate_drivers",
    ),
    "agent/tidegate/models": (
        ".engines",
        ".worker",
        ".supervisor",
        ".policy",
        "tidegate_drivers",
    ),
    "agent/tidegate/calibration": (
        ".worker",
        ".supervisor",
        ".policy",
        ".telemetry",
        ".cli",
    ),
    "agent/tidegate/simulation": (
        ".supervisor",
        ".worker",
        ".engines",
        ".telemetry",
        ".cli",
        "torch",
    ),
    "agent/tidegate/boards": (
        ".supervisor",
        ".worker",
        ".engines",
        ".telemetry",
        ".cli",
        "torch",
    ),
    "agent/tidegate/fleet": (".supervisor", ".worker", ".engines", "torch"),
}
"""For each part, what it must not import (`.x` is tidegate.x); a package's name forbids what is in it too."""

PURE = (
    "budget charge choice clauses conditions decide decision drift explain kalman learned pace plan samples turns"
    " units"
)
DECIDES = (*(f"agent/tidegate/policy/{name}.py" for name in PURE.split()), "agent/tidegate/simulation")
INPUT_OUTPUT = ("os", "pathlib", "socket", "time", "asyncio", "threading", "subprocess", "sqlite3")


def sources(part: str) -> Iterator[Path]:
    path = ROOT / part
    yield from [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def offenders(part: str, forbidden: tuple[str, ...]) -> list[str]:
    forbidden = tuple(f"tidegate{name}" if name.startswith(".") else name for name in forbidden)
    return [
        f"{source.relative_to(ROOT)} imports {name}"
        for source in sources(part)
        for name in imported(source)
        if any(name == banned or name.startswith(banned + ".") for banned in forbidden)
    ]


@pytest.mark.parametrize("part", FORBIDDEN)
def test_arrows_run_one_way(part: str) -> None:
    assert list(sources(part)), f"{part} is gone; take it out of the map"
    assert offenders(part, FORBIDDEN[part]) == []


@pytest.mark.parametrize("source", DECIDES)
def test_deciding_does_no_input_or_output(source: str) -> None:
    assert offenders(source, INPUT_OUTPUT) == []


@pytest.mark.parametrize(
    ("imports", "heavy"),
    [
        ("from tidegate.cli.main import application; application()", ("torch", "onnxruntime")),
        ("import tidegate.supervisor.__main__", ("torch", "onnxruntime", "numpy", "typer", "rich", "starlette")),
        ("import tidegate_drivers.catalog", ("torch", "numpy", "pydantic")),
    ],
)
def test_what_costs_memory_stays_out(imports: str, heavy: tuple[str, ...]) -> None:
    code = f"{imports}; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.strip() == "[]"
