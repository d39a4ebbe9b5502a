"""install.sh as users run it, with Pythons that only say what they are and note what they are asked to do."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "install.sh"

PYTHON = r"""#!/bin/sh
# A Python of $FAKE_VERSION: answers the question for its version, "makes" environments and "installs".
here=$(dirname "$0")
version=${FAKE_VERSION:-3.12.1}
if [ -f "$here/version" ]; then version=$(cat "$here/version"); fi
case "$*" in
  *tidegate-python*)
    case $version in 2.* | 3.[0-9].* | 3.10.*) age=old ;; *) age=new ;; esac
    echo "tidegate-python $age ${FAKE_KIND:-cpython} $version ${FAKE_MISSING:--}"
    ;;
  *"-m venv --clear"*)
    for directory; do :; done
    rm -rf "$directory"
    mkdir -p "$directory/bin"
    cp "$0" "$directory/bin/python"
    echo "$version" > "$directory/bin/version"
    touch "$directory/pyvenv.cfg"
    echo "venv $directory" >> "$FAKE_LOG"
    ;;
  *"-m pip --version"*) [ -z "${FAKE_NO_PIP:-}" ] ;;
  *"-m pip install"*)
    log=
    for argument; do
      if [ "$previous" = --log ]; then log=$argument; fi
      previous=$argument
      last=$argument
    done
    echo "pip $last" >> "$FAKE_LOG"
    if [ -n "${FAKE_PIP_FAILS:-}" ]; then
      refuses=yes
      case "$FAKE_PIP_FAILS" in
        *iotcore*) case "$last" in *broker*) ;; *) refuses= ;; esac ;;
      esac
      if [ -n "$refuses" ]; then
        echo "$FAKE_PIP_FAILS" | tee "$log" >&2
        exit 1
      fi
    fi
    printf '#!/bin/sh\necho "tidegate $*"\n' > "$here/tidegate"
    chmod +x "$here/tidegate"
    ;;
  -c*) ;;
  *) echo "python $*" ;;
esac
"""


class Clone:
    """A clone with a name that has a space in it, and a PATH with one fake Python."""

    def __init__(self, directory: Path, shell: str) -> None:
        self.directory = directory / "a clone"
        self.directory.mkdir()
        self.venv = self.directory / ".venv"
        self._shell = shell
        shutil.copy(SCRIPT, self.directory / "install.sh")
        shutil.copy(SCRIPT.parent / "pyproject.toml", self.directory)
        self.programs = directory / "bin"
        self.programs.mkdir()
        self.log = directory / "log"
        self.python = self.add_python("python3")

    def add_python(self, name: str) -> Path:
        program = self.programs / name
        program.write_text(PYTHON)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return program

    def run(
        self, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run install.sh; PATH has the fakes first, and nothing that is a Python behind them."""
        path = f"{self.programs}:{self._tools()}"
        return subprocess.run(
            [self._shell, str(self.directory / "install.sh"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd=cwd,
            env={"PATH": path, "HOME": os.environ.get("HOME", "/"), "FAKE_LOG": str(self.log), **environment},
        )

    def asked(self) -> list[str]:
        """What the fakes were asked to do since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return [line.replace(str(self.directory), ".") for line in lines]

    def _tools(self) -> Path:
        tools = self.programs.parent / "tools"
        if not tools.exists():
            tools.mkdir()
            for name in TOOLS:
                (tools / name).symlink_to(shutil.which(name) or f"/bin/{name}")
        return tools

    def be_a_mac(self, release: str, machine: str = "arm64", *, rosetta: bool = False) -> None:
        """Have `uname`, `sw_vers` and `sysctl` say so."""
        for name, said in (
            ("uname", f'case "$1" in -m) echo {machine} ;; *) echo Darwin ;; esac'),
            ("sw_vers", f'[ "$*" = -productVersion ] && echo {release}'),
            ("sysctl", "echo 1" if rosetta else "exit 1"),
        ):
            program = self.programs / name
            program.write_text(f"#!/bin/sh\n{said}\n")
            program.chmod(0o755)


TOOLS = (
    *("awk", "cat", "chmod", "cksum", "cp", "cut", "df", "dirname", "env", "grep", "head", "id", "kill", "ls"),
    *("mkdir", "printf", "readlink", "rm", "sed", "sh", "sleep", "tail", "tee", "touch", "tr", "uname"),
)


@pytest.fixture(params=["sh", "bash"])
def clone(tmp_path: Path, request: pytest.FixtureRequest) -> Clone:
    shell = shutil.which(request.param)
    if shell is None:
        pytest.skip(f"there is no {request.param} here")
    return Clone(tmp_path, shell)


def test_the_demo_takes_onnx_and_a_broker_and_no_torch_and_only_once(clone: Clone) -> None:
    first = clone.run("demo", "--seconds", "9")
    assert (first.returncode, first.stdout) == (0, "tidegate demo --seconds 9\n")
    assert clone.asked() == ["venv ./.venv", "pip .[onnx,broker]"]
    assert "without torch" in first.stderr
    again = clone.run("demo")
    assert (again.returncode, again.stdout, again.stderr) == (0, "tidegate demo\n", "")
    assert clone.run("run", "--", "doctor", "--json").stdout == "tidegate doctor --json\n"
    assert clone.run("soak", "--minutes", "10").stdout == "tidegate bench soak --minutes 10\n"
    assert clone.asked() == []


def test_an_engine_is_installed_where_it_is_asked_for_said_and_remembered(clone: Clone) -> None:
    eager = clone.run("--engine", "eager", "run", "status")
    assert eager.stdout == "tidegate status\n"
    assert "GB" in eager.stderr
    assert "engine: eager from now on" in eager.stderr
    assert clone.run("run", "status").stderr == ""
    assert clone.asked() == ["venv ./.venv", "pip .[torch]"]
    onnx = clone.run("--engine=onnx", "demo")
    assert "engine: onnx from now on (it was eager)" in onnx.stderr
    assert onnx.stdout == "tidegate demo --engine onnx\n"
    assert clone.asked() == ["pip .[onnx,broker]"]
    assert clone.run("demo").stdout == "tidegate demo --engine onnx\n"
    assert clone.run("run", "status").stderr == ""
    assert clone.asked() == []


def test_auto_is_what_is_installed_and_torch_is_never_installed_for_it(clone: Clone) -> None:
    assert clone.run("--engine", "auto", "demo").returncode == 0
    assert clone.asked() == ["venv ./.venv", "pip .[onnx,broker]"]
    assert clone.run("--engine", "eager", "run", "status").returncode == 0
    assert clone.asked() == ["pip .[torch]"]
    assert clone.run("--engine", "auto", "run", "status").returncode == 0
    assert clone.asked() == []


def test_what_builds_bundles_is_installed_beside_the_engine_that_was_chosen(clone: Clone) -> None:
    assert clone.run("--engine", "litert", "build").returncode == 0
    assert clone.asked() == ["venv ./.venv", "pip .[litert,torch,data,plot]"]
    assert clone.run("run", "status").returncode == 0
    assert clone.asked() == []


def test_everything_for_developing_holds_what_the_demo_needs(clone: Clone) -> None:
    for tool in ("mosquitto", "umockdev-run", "fusermount3", "unshare"):
        clone.add_python(tool)
    assert clone.run("dev").returncode == 0
    assert clone.asked() == ["venv ./.venv", "pip .[dev]"]
    assert clone.run("demo").returncode == 0
    assert clone.asked() == []


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"FAKE_VERSION": "3.9.18"}, "python3 is Python 3.9.18"),
        ({"FAKE_VERSION": "2.7.18"}, "python3 is Python 2.7.18"),
        ({"FAKE_KIND": "pypy", "FAKE_VERSION": "3.11.9"}, "python3 is pypy 3.11.9"),
        ({"FAKE_MISSING": "ensurepip"}, "without its module(s) ensurepip; on Debian"),
    ],
)
def test_a_python_that_will_not_do_is_named_with_what_is_needed(
    clone: Clone, environment: dict[str, str], words: str
) -> None:
    for arguments in (("demo",), ("--python", "python3", "demo"), ("--python", str(clone.python), "demo")):
        refused = clone.run(*arguments, **environment)
        assert refused.returncode == 69
        assert words in refused.stderr
        assert "CPython 3.11 or newer" in refused.stderr
        assert "--python PATH" in refused.stderr
        assert not clone.venv.exists()


def test_a_python_that_is_none_is_told_from_one_that_is_not_there(clone: Clone, tmp_path: Path) -> None:
    plain, other = tmp_path / "plain", tmp_path / "other"
    plain.write_text("no program")
    other.write_text("#!/bin/sh\necho I am a shell\n")
    other.chmod(0o755)
    cases = {
        str(tmp_path / "nowhere"): "does not exist",
        str(tmp_path): "is a directory",
        str(plain): "has no execute permission",
        str(other): "does not run as Python (it says: I am a shell)",
        "3.9": "there is no python3.9 on PATH",
    }
    for path, words in cases.items():
        refused = clone.run("--python", path, "demo")
        assert (refused.returncode, words in refused.stderr) == (69, True), (path, refused.stderr)


def test_a_version_names_the_python_of_that_version(clone: Clone) -> None:
    clone.add_python("python3.13")
    assert clone.run("--python", "3.13", "run", "doctor").returncode == 0


def test_an_environment_that_is_broken_is_made_anew(clone: Clone) -> None:
    assert clone.run("run", "doctor").returncode == 0
    clone.asked()
    (clone.venv / "bin" / "python").unlink()
    mended = clone.run("run", "doctor")
    assert (mended.returncode, mended.stdout) == (0, "tidegate doctor\n")
    assert "anew: its Python is gone" in mended.stderr
    assert clone.asked() == ["venv ./.venv", "pip .[onnx]"]
    # Ended between `venv` and `pip`: what is there is finished, not trusted.
    (clone.venv / ".tidegate-installed").unlink()
    assert clone.run("run", "doctor").returncode == 0
    assert clone.asked() == ["pip .[onnx]"]


def test_another_python_is_said_and_used(clone: Clone) -> None:
    assert clone.run("run", "doctor").returncode == 0
    clone.asked()
    newer = clone.run("--python", "python3", "run", "doctor", FAKE_VERSION="3.13.0")
    assert "it is of Python 3.12.1, and --python names 3.13.0" in newer.stderr
    assert clone.asked() == ["venv ./.venv", "pip .[onnx]"]


def test_what_is_no_environment_is_left_alone(clone: Clone) -> None:
    clone.venv.mkdir()
    (clone.venv / "thesis.tex").write_text("years of work")
    refused = clone.run("demo")
    assert refused.returncode == 69
    assert "is no virtual environment" in refused.stderr
    assert (clone.venv / "thesis.tex").read_text() == "years of work"


def test_a_clone_that_was_moved_is_installed_again(clone: Clone, tmp_path: Path) -> None:
    assert clone.run("run", "doctor").returncode == 0
    clone.asked()
    clone.directory = clone.directory.rename(tmp_path / "elsewhere")
    assert clone.run("run", "doctor").returncode == 0
    assert clone.asked() == ["pip .[onnx]"]


def test_from_another_directory_by_a_link_and_with_an_environment_elsewhere(clone: Clone, tmp_path: Path) -> None:
    link = clone.programs / "tg"
    link.symlink_to(clone.directory / "install.sh")
    clone.directory.joinpath("install.sh").chmod(0o755)
    elsewhere = tmp_path / "user"
    elsewhere.mkdir()
    ran = clone.run("run", "doctor", cwd=elsewhere, TIDEGATE_VENV="my env", CDPATH=str(tmp_path))
    assert (ran.returncode, ran.stdout) == (0, "tidegate doctor\n"), ran.stderr
    assert (elsewhere / "my env" / "bin" / "tidegate").exists()
    assert not clone.venv.exists()


@pytest.mark.parametrize("verb", ["service", "upgrade", "rollback", "apply", "uninstall", "status", "wheels"])
def test_a_service_is_installed_by_the_python_that_is_found_and_without_an_environment(
    clone: Clone, verb: str
) -> None:
    ran = clone.run("--python", str(clone.python), verb, "--user", "a word")
    assert (ran.returncode, ran.stdout) == (0, f"python -P -s -B -m tidegate.service {verb} --user a word\n"), (
        ran.stderr
    )
    assert not clone.venv.exists()
    old = clone.run("--python", str(clone.python), verb, FAKE_VERSION="3.10.2")
    assert (old.returncode, "is Python 3.10.2" in old.stderr) == (69, True)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("OSError: [Errno 28] No space left on device", "no space left"),
        ("NewConnectionError: Failed to establish a new connection", "did not reach its package index"),
        ("ERROR: No matching distribution found for onnxruntime>=1.20", "there is no build of onnxruntime"),
        ("something else", "could not install tidegate[onnx]"),
    ],
)
def test_a_failed_installation_says_why_and_is_not_taken_for_done(clone: Clone, said: str, words: str) -> None:
    failed = clone.run("run", "doctor", FAKE_PIP_FAILS=said)
    assert failed.returncode == 69
    assert words in failed.stderr
    assert said in failed.stderr
    clone.asked()
    assert clone.run("run", "doctor").returncode == 0
    assert clone.asked() == ["pip .[onnx]"]


def test_without_a_build_of_the_embedded_broker_the_demo_goes_on(clone: Clone) -> None:
    lacking = "ERROR: No matching distribution found for iotcore<0.5,>=0.4"
    run = clone.run("demo", FAKE_PIP_FAILS=lacking)
    assert (run.returncode, run.stdout) == (0, "tidegate demo\n"), run.stderr
    assert "install\n  mosquitto" in run.stderr
    assert clone.asked() == ["venv ./.venv", "pip .[onnx,broker]", "pip .[onnx]"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "./install.sh demo"),
        (("--engine",), "--engine needs a value"),
        (("--engine", "", "demo"), "--engine needs a value"),
        (("--engine", "packed", "demo"), "the engines are auto, onnx, litert, eager, mlx and coreml"),
        (("--quick", "demo"), "unknown option '--quick'"),
        (("serve",), "the verbs are demo, test, soak, build, dev and run"),
    ],
)
def test_a_wrong_command_line_exits_64_and_makes_nothing(
    clone: Clone, arguments: tuple[str, ...], words: str
) -> None:
    refused = clone.run(*arguments)
    assert (refused.returncode, words in refused.stderr) == (64, True), refused.stderr
    assert refused.stdout == ""
    assert not clone.venv.exists()


def test_a_mac_gets_onnx_mlx_and_core_ml(clone: Clone) -> None:
    clone.be_a_mac("15.5")
    first = clone.run("demo")
    assert (first.returncode, first.stdout) == (0, "tidegate demo\n")
    assert clone.asked() == ["venv ./.venv", "pip .[onnx,apple,broker]"]
    assert "Core ML is left out" not in first.stderr
    assert clone.run("run", "--", "status").returncode == 0
    assert clone.asked() == []


@pytest.mark.parametrize(
    ("release", "python", "words"),
    [
        ("15.5", "3.14.0", "no coremltools for Python 3.14.0, so Core ML is left out; --python python3.13 has it"),
        ("14.7.1", "3.12.1", "Core ML serves from macOS 15 on"),
    ],
)
def test_a_mac_is_told_what_it_goes_without(clone: Clone, release: str, python: str, words: str) -> None:
    clone.be_a_mac(release)
    done = clone.run("demo", FAKE_VERSION=python)
    assert done.returncode == 0
    assert words in done.stderr
    assert clone.asked()[-1] == "pip .[onnx,apple,broker]"


@pytest.mark.parametrize(
    ("release", "machine", "rosetta", "words"),
    [
        ("15.5", "x86_64", False, "this Mac has an Intel processor"),
        ("15.5", "x86_64", True, "arch -arm64 /bin/sh ./install.sh"),
        ("13.6.9", "arm64", False, "this Mac has macOS 13.6.9; ONNX Runtime and MLX are built for macOS 14"),
    ],
)
@pytest.mark.parametrize("verb", ["demo", "build", "run"])
def test_a_mac_for_which_nothing_is_built_is_told_so(
    clone: Clone, release: str, machine: str, rosetta: bool, words: str, verb: str
) -> None:
    clone.be_a_mac(release, machine, rosetta=rosetta)
    done = clone.run(verb)
    assert done.returncode == 69
    assert words in done.stderr
    assert not [line for line in clone.asked() if line.startswith("pip")]


def test_an_apple_engine_is_a_choice(clone: Clone) -> None:
    on_linux = clone.run("--engine", "coreml", "run", "status")
    assert on_linux.returncode == 69
    assert "tidegate bundle coreml" in on_linux.stderr
    assert clone.run("--engine", "mlx", "run", "status").returncode == 0
    assert clone.asked() == ["venv ./.venv", "pip .[apple]"]
    clone.be_a_mac("15.5")
    assert clone.run("--engine", "coreml", "run", "status").returncode == 0
