"""The import arrows of the design: who may know whom, and which processes stay free of torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE_ROOTS = (ROOT / "agent", ROOT / "drivers")

MAY_IMPORT = {
    # what a user starts, or imports
    "api.building": "api.opened calibration engines models.bundle models.task numpy torch",
    "api": "boards calibration.recertify documents engines errors models.bundle models.graph models.ladder paths"
    " policy simulation tidegate_drivers worker.canary worker.choosing numpy",
    "__main__": "cli",
    "cli": "errors api boards calibration child config demo documents engines extras files fleet footage"
    " import_path listening messages models network paths policy quantities shortened simulation supervisor"
    " telemetry terminal tidegate_drivers trust validation_words pydantic_core rich typer",
    "demo": "errors child config engines fleet models paths supervisor telemetry numpy",
    # the service
    "supervisor": "errors boards child config content documents durable_number engines.runtime.installed"
    " engines.runtime.placement files footage.kept"
    " last_trial listening messages network.shut_out service_log models.bundle models.errors models.ladder paths"
    " policy shortened telemetry tidegate_drivers trust validation_words h11 prometheus_client psutil pydantic",
    "worker": "engines errors files footage listening messages service_log models parent telemetry.broker"
    " telemetry.link.paho_client tidegate_drivers.linux.cgroup tidegate_drivers.sensor validation_words PIL av"
    " h11 numpy paho psutil pydantic pydantic_core zmq",
    # what makes a ladder, and what tries a policy on it
    "calibration": "errors engines extras models pydantic",
    "calibration.assemble": "errors calibration engines models numpy pydantic torch",
    "calibration.certify": "errors calibration.data calibration.json_lines calibration.users_code engines models"
    " numpy pydantic torch",
    "calibration.data": "errors engines models PIL numpy sklearn torch",
    "calibration.fit": "calibration.candidate calibration.data calibration.knob_settings"
    " calibration.target_engine engines models numpy torch",
    "calibration.measure": "calibration.candidate calibration.certify calibration.data calibration.knob_settings"
    " calibration.target_engine engines models numpy",
    "calibration.recertify": "errors calibration.certify calibration.data engines files footage models"
    " trust.dsse validation_words PIL numpy pydantic",
    "calibration.report": "calibration.data calibration.knob_settings calibration.search drawing engines models"
    " numpy",
    "calibration.search": "errors calibration.certify calibration.data calibration.fit calibration.knob_settings"
    " calibration.measure engines models distributed numpy torch",
    "calibration.sources": "errors calibration.knob_settings calibration.progress calibration.users_code engines"
    " models numpy torch transformers",
    "simulation": "errors boards documents drawing models.ladder policy quantities tidegate_drivers numpy"
    " pydantic",
    # its place on a machine: installed with Python's own library, judged by the version that is installed
    "service": "errors files last_trial",
    "service.trial": "config demo.client errors listening.token_file models.bundle models.bundle.evidence"
    " numpy psutil",
    # run by an environment that has just been made, and so has pip
    "service.other_markers": "pip",
    # the operator's side
    "fleet": "errors child content models.bet models.bundle quantities telemetry trust validation_words iotcore"
    " paho pydantic pydantic_core",
    # what they stand on
    "engines": "errors child extras files models ai_edge_litert coreai coremltools flatbuffers mlx numpy"
    " onnxruntime psutil torch",
    "models": "errors numpy torch",
    "models.bundle": "errors models.comparing models.errors models.graph models.ladder models.network models.task"
    " numpy validation_words pydantic safetensors",
    "models.gates": "models.graph models.knobs models.ladder torch",
    "models.graph": "models.errors numpy",
    "models.importing": "errors models.graph models.network numpy onnx torch",
    "models.bet": "",
    "models.exact_test": "",
    "models.ladder": "models.task",
    "models.task": "",
    "policy": "errors documents files models.bet models.ladder quantities tidegate_drivers trust.ratchet"
    " trust.refusal validation_words pydantic",
    "telemetry": "content durable_number errors files trust validation_words paho pydantic",
    "config": "boards documents listening.loopback paths quantities.units tidegate_drivers.meters.address"
    " trust.keys trust.trusted_keys pydantic",
    "network": "config listening.loopback service.places tidegate_drivers.meters.address",
    "listening": "errors messages",
    "listening.bearer": "",
    "listening.loopback": "",
    "listening.token_file": "documents errors",
    "footage": "errors files numpy",
    "footage.kept": "",
    "trust": "errors files validation_words nacl pydantic",
    "boards": "documents models.ladder paths policy quantities pydantic",
    "messages": "shortened pydantic",
    "quantities": "documents pydantic",
    "documents": "errors validation_words pydantic pydantic_core yaml",
    "terminal": "rich",
    "drawing": "",
    # ground, without a third party's code
    "child": "child_main import_path",
    "content": "errors",
    "child_main": "parent",
    "durable_number": "files",
    "files": "",
    "errors": "",
    "extras": "",
    "folded_log": "",
    "service_log": "folded_log",
    "import_path": "",
    "last_trial": "files shortened",
    "parent": "",
    "paths": "platformdirs",
    "shortened": "",
    "validation_words": "",
    # other packages
    "tidegate_drivers": "mfusepy paho psutil",
}
"""What each part may import besides itself and Python's own library: parts of tidegate and third parties.

A dotted name allows that module alone, and has a line of its own where it may import less than its part.
`tidegate_bench` measures all of it and may import all of it.
"""
FREE = "tidegate_bench"

PURE = (
    "brown_out budget charge choice clauses conditions decide decision drift explain flap flap_damping hold kalman"
    " learned pace samples setpoint what_if"
)
DECIDES = (
    *(f"agent/tidegate/policy/{name}.py" for name in PURE.split()),
    "agent/tidegate/quantities",
    "agent/tidegate/simulation",
)
INPUT_OUTPUT = {"os", "pathlib", "socket", "time", "asyncio", "threading", "subprocess", "sqlite3"}


@cache
def modules() -> dict[str, Path]:
    """Every module of ours, by its full name."""
    found = {}
    for root in SOURCE_ROOTS:
        for source in root.rglob("*.py"):
            parts = source.relative_to(root).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = source
    return found


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Each statement, however deep in others. Expressions, most of what ast.walk would visit, import nothing."""
    for part in ("body", "orelse", "finalbody", "handlers", "cases"):
        for node in getattr(tree, part, ()):
            yield node
            yield from statements(node)


@cache
def imported(module: str) -> frozenset[str]:
    """What a module imports at its top, in a function or for its types: modules, in full."""
    found = set()
    for node in statements(ast.parse(modules()[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules() else str(node.module) for name in names}
    return frozenset(found - {module})


def within(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


def part_of(module: str) -> str:
    """The narrowest part that has a line of its own; `tidegate.models.knobs` is of `models`."""
    name = module.removeprefix("tidegate.")
    return max((part for part in MAY_IMPORT if within(name, part)), key=len, default=name.partition(".")[0])


def strangers(part: str) -> list[str]:
    """The imports of a part that its line does not allow."""
    allowed = {part, *MAY_IMPORT[part].split(), *sys.stdlib_module_names}
    return [
        f"{module} imports {name}"
        for module in sorted(modules())
        if part_of(module) == part
        for name in sorted(imported(module))
        if name != "tidegate" and not any(within(name.removeprefix("tidegate."), one) for one in allowed)
    ]


def test_every_part_has_its_line() -> None:
    found = {part_of(module) for module in modules()} - {"tidegate", FREE}
    assert found == set(MAY_IMPORT)


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_what_its_line_allows(part: str) -> None:
    assert strangers(part) == []


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_line_allows_nothing_that_is_not_imported(part: str) -> None:
    names = {
        name.removeprefix("tidegate.")
        for module in modules()
        if part_of(module) == part
        for name in imported(module)
    }
    assert [one for one in MAY_IMPORT[part].split() if not any(within(name, one) for name in names)] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    # `tidegate` itself loads what it exports when that is asked for, and is imported for its version.
    ours = {module: imported(module) & modules().keys() for module in modules() if module != "tidegate"}
    try:
        TopologicalSorter(ours).prepare()
    except CycleError as error:
        pytest.fail(" is imported by ".join(error.args[1]))


@pytest.mark.parametrize("source", DECIDES)
def test_deciding_does_no_input_or_output(source: str) -> None:
    decides = [module for module, path in modules().items() if path.is_relative_to(ROOT / source)]
    assert decides, f"{source} is gone; take it out of the list"
    assert [
        (module, name) for module in decides for name in imported(module) if name.split(".")[0] in INPUT_OUTPUT
    ] == []


@pytest.mark.parametrize(
    ("imports", "heavy"),
    [
        ("from tidegate.cli.main import application; application()", ("torch", "onnxruntime")),
        (
            "import tidegate.supervisor.__main__",
            ("torch", "onnxruntime", "numpy", "safetensors", "typer", "rich", "h11"),
        ),
        ("import tidegate.cli.entry", ("typer", "rich", "pydantic", "yaml", "asyncio")),
        ("import tidegate_drivers.catalog", ("torch", "numpy", "pydantic")),
    ],
)
def test_what_costs_memory_stays_out(imports: str, heavy: tuple[str, ...]) -> None:
    code = f"{imports}; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60, stdout=subprocess.PIPE, text=True
    )
    assert done.stdout.strip() == "[]"
