"""Children of ours run our code wherever they are started, and end with their parent."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tidegate import child, child_main, import_path

ROOT = Path(__file__).parents[2]
TRAP = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\nraise SystemExit(__file__)\n"
NAMES = """
    tidegate/__init__ tidegate/child_main tidegate/cli/__init__ tidegate/cli/main tidegate_drivers/__init__
    yaml numpy torch onnxruntime typer rich pydantic psutil platformdirs h11 paho/__init__
    safetensors asyncio logging subprocess ctypes runpy random sitecustomize usercustomize
"""

SHOW = (
    "import tidegate.child as c, tidegate_drivers as d, yaml as y, sys; "
    "print(c.__file__, d.__file__, y.__file__, sys.argv[1:])"
)


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a file for each name that would be run if it were on the import path."""
    folder = tmp_path / "hostile"
    for name in NAMES.split():
        file = folder / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(TRAP)
    monkeypatch.chdir(folder)
    return folder


def ended(process: psutil.Process, within_s: float) -> bool:
    """Whether it ends by itself; afterwards it is gone either way."""
    deadline = time.monotonic() + within_s
    try:
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                process.kill()
                return False
            time.sleep(0.02)
    except psutil.NoSuchProcess:
        pass
    return True


def run(command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**child.environment(), **more}
    )


@pytest.mark.parametrize("python_path", [None, os.pathsep.join(["", ".", "../hostile", "/nowhere"])])
def test_a_child_imports_nothing_from_where_it_stands(
    hostile: Path, monkeypatch: pytest.MonkeyPatch, python_path: str | None
) -> None:
    if python_path is not None:
        monkeypatch.setenv("PYTHONPATH", python_path)
    done = run(
        child.command("tidegate.cli.main", "policy", "check", str(ROOT / "profiles/policies/demo-careful.yaml"))
    )
    assert done.returncode == 0, done.stderr
    assert list(hostile.rglob("*.ran")) == []


@pytest.mark.parametrize(
    "start", [[str(Path(sys.executable).with_name("tidegate"))], [sys.executable, "-m", "tidegate.cli.main"]]
)
def test_the_command_line_itself_leaves_the_working_directory_alone(hostile: Path, start: list[str]) -> None:
    if "-m" in start:
        # Python looks for what follows -m in the working directory first, before any line of ours.
        for file in (hostile / "tidegate").rglob("*.py"):
            file.unlink()
        for folder in (hostile / "tidegate" / "cli", hostile / "tidegate"):
            folder.rmdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [*start, "policy", "check", str(ROOT / "profiles/policies/demo-careful.yaml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert list(hostile.rglob("*.ran")) == []


def test_a_child_has_its_parents_code_whatever_comes_first_on_the_import_path(tmp_path: Path) -> None:
    for package in ("tidegate", "tidegate_drivers"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(TRAP)
    (tmp_path / "show.py").write_text(SHOW)
    done = run(child.command("show", "--to", "me"), PYTHONPATH=str(tmp_path))
    child_file, drivers_file, yaml_file, *arguments = done.stdout.split(maxsplit=3)
    assert Path(child_file) == ROOT / "agent" / "tidegate" / "child.py"
    assert Path(drivers_file) == ROOT / "drivers" / "tidegate_drivers" / "__init__.py"
    assert "site-packages" in yaml_file
    assert arguments == ["['--to', 'me']\n"]


def test_what_python_path_names_absolutely_is_kept() -> None:
    given = {"PYTHONPATH": os.pathsep.join(["", "/opt/libraries", ".", "sub", "/opt/more"])}
    assert import_path.absolute_python_path(given) == os.pathsep.join(["/opt/libraries", "/opt/more"])
    assert import_path.absolute_python_path({}) == ""


@pytest.mark.parametrize("relative", ["", ".", os.pathsep, "../hostile"])
def test_of_what_python_path_names_relatively_nothing_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, relative: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", relative)
    assert "PYTHONPATH" not in child.environment()


SLEEPS = "import time\nprint('up', flush=True)\ntime.sleep(60)\n"
STARTS = (
    "import subprocess, sys, time\n"
    "from tidegate import child\n"
    "held = subprocess.Popen(child.command('sleeps'), env={**child.environment(), 'PYTHONPATH': sys.argv[1]})\n"
    "print(held.pid, flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_child_ends_when_its_parent_is_killed_even_if_it_is_stopped(tmp_path: Path, stopped: bool) -> None:
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTS, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdout is not None
    # Two processes write there, in whichever order.
    pid, up = sorted(parent.stdout.readline() for _ in range(2))
    assert up == "up\n"
    orphan = psutil.Process(int(pid))
    if stopped and sys.platform == "linux":
        orphan.suspend()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert ended(orphan, 5)


def test_a_child_whose_parent_is_gone_before_its_first_line_does_nothing(tmp_path: Path) -> None:
    (tmp_path / "sleeps.py").write_text(SLEEPS)
    command = child.command("sleeps")
    command[command.index(str(os.getpid()))] = "1073741824"  # no parent of ours
    done = run(command, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (os.EX_UNAVAILABLE, "")


FINISHES = """
import os, sys, time
from tidegate import parent
if sys.argv[1] == "without the kernel":
    parent._ask_the_kernel = lambda number: False
parent.end_with(os.getppid())
parent.finish_within(1.0)
print("up", flush=True)
started = time.monotonic()
while time.monotonic() - started < 60:
    open(sys.argv[2] + ".new", "w").write(f"{time.monotonic() - started:.3f}")
    os.replace(sys.argv[2] + ".new", sys.argv[2])
    time.sleep(0.02)
"""
STARTS_ONE = (
    "import subprocess, sys, time\n"
    "held = subprocess.Popen([sys.executable, '-c', *sys.argv[1:]])\n"
    "print(held.pid, flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.mark.parametrize("how", ["with the kernel", "without the kernel", "stopped"])
def test_a_child_that_may_finish_ends_all_the_same(tmp_path: Path, how: str) -> None:
    if how == "stopped" and sys.platform != "linux":
        pytest.skip("only Linux wakes a stopped child; elsewhere the next supervisor ends it")
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTS_ONE, FINISHES, how, str(tmp_path / "age")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert parent.stdout is not None
    orphan = psutil.Process(int(parent.stdout.readline()))
    assert parent.stdout.readline() == "up\n"
    while not (tmp_path / "age").exists():
        time.sleep(0.02)
    if how == "stopped":
        orphan.suspend()
    age_s = float((tmp_path / "age").read_text())
    parent.kill()
    parent.wait()
    assert ended(orphan, 10)
    # It went on for a while: what was in hand could be finished.
    assert float((tmp_path / "age").read_text()) > age_s + 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="names of processes, as Linux keeps them")
def test_ps_tells_children_apart(tmp_path: Path) -> None:
    (tmp_path / "shows.py").write_text("print(open('/proc/self/comm').read())")
    assert run(child.command("shows"), PYTHONPATH=str(tmp_path)).stdout.strip() == "tidegate-shows"
    assert child_main.INDEPENDENT in child.independent_command("tidegate.supervisor", "x")


def test_no_other_file_starts_python() -> None:
    """`sys.executable` is how one starts it; a benchmark's psutil is isolated too, and two only name it.

    The installer starts another version's Python, in isolation (`-P`), and stands on nothing of the service.
    """
    stands_alone = "drivers/tidegate_drivers/testing/fault_mount.py"  # it may not know tidegate.child
    users = {
        str(source.relative_to(ROOT))
        for part in ("agent", "drivers")
        for source in (ROOT / part).rglob("*.py")
        if "executable" in (text := source.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.executable"
    }
    named = {"agent/tidegate/extras.py", "agent/tidegate/cli/diagnosis/gather.py"}
    fetching = {"agent/tidegate_bench/pretrained/packages.py", "agent/tidegate_bench/pays/registries.py"}
    installer = {f"agent/tidegate/service/{name}.py" for name in ("machine", "trial", "wheels")}
    assert users - named - fetching - installer - {stands_alone} == {
        "agent/tidegate/child.py",
        "agent/tidegate_bench/drivers/cost.py",
    }


def test_a_child_keeps_the_memory_that_it_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in child.WAITING.items():
        monkeypatch.setenv(name, value)
    assert not child.WAITING.keys() & child.environment().keys(), "the supervisor's own"
    assert child.environment(**child.WAITING).items() >= child.WAITING.items()
    for name in child.WAITING:
        monkeypatch.setenv(name, "1048576")
        assert child.environment()[name] == "1048576", "what somebody has set for the service stays"
        assert child.service_environment()[name] == "1048576"


def test_a_service_has_what_keeps_it_small(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = {**child.LEAN, **child.WAITING}
    for name in ours:
        monkeypatch.delenv(name, raising=False)
    first = child.service_environment()
    assert first.items() >= ours.items()
    monkeypatch.setattr("os.environ", first)
    assert child.service_environment() == first, "also one that another service's command starts"
