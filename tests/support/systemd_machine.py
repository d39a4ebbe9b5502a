"""A machine that systemd runs: this machine's own root, or another, under an overlay, booted in a second.

What a unit asks of the kernel is real there: user, sandbox, seccomp, watchdog, journal, IPAddressDeny; MemoryMax
only where the host has no controllers of cgroups v1. Nothing that happens in it stays.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

BOOT_S = 60.0
TMPFS = "size=2g"

QUIET = (
    *(
        "systemd-networkd",
        "systemd-resolved",
        "systemd-timesyncd",
        "systemd-logind",
        "getty@tty1",
        "console-getty",
    ),
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("docker", "docker.socket", "containerd", "postgresql", "ssh", "systemd-tmpfiles-clean.timer", "mosquitto"),
    *(
        "nut-server",
        "nut-monitor",
        "nut-driver.target",
        "nut.target",
        "cron",
        "exim4",
        "rsyslog",
        "unattended-upgrades",
    ),
)
"""Services of this machine that have no business in the one under test."""


def obstacle() -> str | None:
    """Why no such machine can be had here; None if it can."""
    if sys.platform != "linux":
        return "systemd runs on Linux only"
    if os.geteuid() != 0:
        return "to boot a machine takes root"
    for program, package in (("systemd-nspawn", "systemd-container"), ("nsenter", "util-linux")):
        if shutil.which(program) is None:
            return f"{program} is not installed; ./install.sh test installs {package}"
    if not Path("/lib/systemd/systemd").exists():
        return "systemd itself is not installed: apt install systemd"
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    tried = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=20)
    return f"mounts are not allowed here: {tried.stderr.strip()}" if tried.returncode else None


class Machine:
    """Booted by `with` over the root `below`; `run` runs a command in it as root; `python` is one in it."""

    def __init__(self, scratch: Path, binds: Mapping[Path, str], python: str, below: Path = Path("/")) -> None:
        self.python = python
        self._scratch = scratch
        self._below = below
        self._root = scratch / "root"
        self._binds = binds
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def __enter__(self) -> "Machine":
        self._scratch.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", TMPFS, "tmpfs", str(self._scratch)], check=True, timeout=20)
        try:
            self._mount_root()
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._nspawn is not None:
            if self._leader:
                with suppress(ProcessLookupError):
                    os.kill(self._leader, signal.SIGRTMIN + 4)  # poweroff
            try:
                self._nspawn.wait(20)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait()
        for mounted in (self._root, self._scratch):
            subprocess.run(["umount", "--lazy", str(mounted)], check=False, timeout=20, stderr=subprocess.DEVNULL)

    def path(self, inside: str) -> Path:
        """A file of the machine, seen from here."""
        return self._root / inside.lstrip("/")

    def run(
        self, *command: str, timeout_s: float = 60.0, user: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine, as root or as a user who lives there."""
        entered = ["nsenter", "-t", str(self._leader), "-m", "-u", "-i", "-n", "-p", "-C"]
        as_user = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user is not None else []
        return subprocess.run(
            [*entered, "--", *as_user, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout_s,
            cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"},
        )

    def must(self, *command: str, timeout_s: float = 60.0, user: str | None = None) -> str:
        """What a command says that ends with 0."""
        done = self.run(*command, timeout_s=timeout_s, user=user)
        assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def _mount_root(self) -> None:
        for name in ("upper", "work", "root"):
            (self._scratch / name).mkdir()
        layers = f"lowerdir={self._below},upperdir={self._scratch}/upper,workdir={self._scratch}/work"
        command = ["mount", "-t", "overlay", "overlay", "-o", layers, str(self._root)]
        subprocess.run(command, check=True, timeout=20)
        self.path("/etc/machine-id").write_text("")
        self.path("/etc/resolv.conf").unlink(missing_ok=True)
        units = self.path("/etc/systemd/system")
        units.mkdir(parents=True, exist_ok=True)
        for name in QUIET:
            unit = units / (name if "." in name else f"{name}.service")
            unit.unlink(missing_ok=True)
            unit.symlink_to("/dev/null")
        default = units / "default.target"
        default.unlink(missing_ok=True)
        default.symlink_to("/lib/systemd/system/multi-user.target")

    def _boot(self) -> None:
        binds = [f"--bind-ro={outside}:{inside}" for outside, inside in self._binds.items()]
        arguments = ["--quiet", "--boot", "--register=no", "--keep-unit", "--private-network", "--console=pipe"]
        # IPAddressDeny= is a program of the kernel's that systemd attaches to a group of the unified hierarchy.
        arguments.append("--system-call-filter=bpf")
        unified = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
        with (self._scratch / "console.log").open("wb") as console:
            self._nspawn = subprocess.Popen(
                ["systemd-nspawn", *arguments, f"--machine=tidegate-{os.getpid()}", *binds, "-D", str(self._root)],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=unified,
            )
        until = time.monotonic() + BOOT_S
        state = ""
        while state not in {"running", "degraded"}:
            said = (self._scratch / "console.log").read_text(errors="replace")
            assert self._nspawn.poll() is None, f"systemd-nspawn ended with {self._nspawn.returncode}:\n{said}"
            assert time.monotonic() < until, (
                f"systemd is {state or 'not there'} after {BOOT_S:g} s:\n{said[-3000:]}"
            )
            time.sleep(0.1)
            children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
            if children:
                self._leader = int(children[0])
                state = self.run("systemctl", "is-system-running").stdout.strip()
