"""One user's home with programs that stand for Python, pip and systemd, and take no time.

A version "runs" when its `tidegate` does; the fake systemctl restarts what `current` points to, and fails where
that one does not run, as the real one does for Type=notify.
"""

import os
import signal
import zipfile
from pathlib import Path

from tidegate.service import main, steps, systemd
from tidegate.service.release import EXTRAS

PYTHON = r"""#!/bin/sh
# A Python that makes "environments" and a pip that puts a `tidegate` into them.
here=$(dirname "$0")
case "$*" in
  *"-m pip --version"*) [ -n "${FAKE_NO_PIP:-}" ] || echo "pip 23.0.1 from somewhere"; exit 0 ;;
  *"-m pip --python "*) here=$(dirname "$5") ;;
esac
case "$*" in
  *"-m venv"*)
    for directory; do :; done
    mkdir -p "$directory/bin"
    cp "$0" "$directory/bin/python"
    ;;
  *"-m pip "*install*--no-deps*)
    for wheel; do :; done
    [ -z "${FAKE_PIP_FAILS:-}" ] || { echo "$FAKE_PIP_FAILS"; exit 1; }
    code=0
    case "$wheel" in *broken*) code=3 ;; esac
    {
      echo '#!/bin/sh'
      echo "[ \"\$1\" != run ] || exit $code"
      echo 'case "$*" in *refused*) echo "not valid"; exit 65 ;; esac'
      case "$wheel" in *picky*) echo '[ "$1" != config ] || { echo "listen: gone since"; exit 78; }' ;; esac
    } > "$here/tidegate"
    chmod +x "$here/tidegate"
    ;;
  *tidegate.service.trial*)
    version=$(dirname "$here")
    [ "$(cat "$FAKE_WORLD/running")" = "$(basename "$version")" ] || { echo "another version answers"; exit 1; }
    echo '{"canaries": 20, "point": "full", "memory_bytes": 1048576}'
    ;;
esac
exit 0
"""

UV = r"""#!/bin/sh
# uv pip install --quiet --python PYTHON ...
exec "$5" -P -m "$@"
"""

SYSTEMCTL = r"""#!/bin/sh
[ "$1" != --user ] || shift
echo "$*" >> "$FAKE_WORLD/systemctl"
case "$1" in
  restart)
    rm -f "$FAKE_WORLD/running"
    current=$XDG_DATA_HOME/tidegate/current
    "$current/bin/tidegate" run || exit 1
    basename "$(readlink "$current")" > "$FAKE_WORLD/running"
    ;;
  stop) rm -f "$FAKE_WORLD/running" ;;
esac
exit 0
"""

JOURNALCTL = "#!/bin/sh\necho 'what the journal says'\n"


class World:
    """A home in a directory, and folders of wheels in it by name: two that work, one that does not run,
    and one that does not take the configuration."""

    def __init__(self, directory: Path, *, uv: bool = False) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.prefix = self.home / "share/tidegate"
        self.config = self.home / "config/tidegate/agent.yaml"
        programs = directory / "bin"
        for path in (self.home, programs, directory / "booted"):
            path.mkdir(parents=True)
        found = {"python3": PYTHON, "systemctl": SYSTEMCTL, "journalctl": JOURNALCTL, **({"uv": UV} if uv else {})}
        for name, text in found.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        for name in ("one", "two", "broken", "picky"):
            (directory / name).mkdir()
            with zipfile.ZipFile(directory / name / "tidegate-1.0-py3-none-any.whl", "w") as wheel:
                wheel.writestr(zipfile.ZipInfo("tidegate/service/requirements.txt"), f"# {name}\n")
                for extra in EXTRAS:
                    wheel.writestr(zipfile.ZipInfo(f"tidegate/service/requirements-{extra}.txt"), f"# {extra}\n")
        self.environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "share"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_STATE_HOME": str(self.home / "state"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_RUNTIME_DIR": str(directory / "run"),
            "FAKE_WORLD": str(directory),
        }

    @property
    def running(self) -> str | None:
        """The version that serves."""
        file = self.directory / "running"
        return file.read_text().strip() if file.exists() else None

    @property
    def current(self) -> str | None:
        """What the link names."""
        link = self.prefix / "current"
        return link.readlink().name if link.is_symlink() else None

    def asked(self) -> list[str]:
        """What systemctl was asked since the last time."""
        log = self.directory / "systemctl"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


def run_verb(world: World, arguments: tuple[str, ...], die_before: int | None, said: Path) -> None:
    """One verb, killed before its n-th step where one is named; the process ends with its exit code."""
    os.environ.clear()
    os.environ.update(world.environment)
    systemd.BOOTED = world.directory / "booted"
    # Processes are killed here and no power is cut; waiting for a busy disk would take most of the time.
    os.sync = lambda: None
    os.fsync = lambda _: None
    done = 0

    def count(_: steps.Step) -> None:
        nonlocal done
        if done == die_before:
            os.kill(os.getpid(), signal.SIGKILL)
        done += 1

    main.execute = lambda plan: steps.execute(plan, before=count)  # type: ignore[assignment]  # counts as it goes
    main.machine.base_python = lambda: str(world.directory / "bin/python3")
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        code = main.main(arguments)
        (said.parent / "steps").write_text(str(done))
    os._exit(code)
