"""The service on a real systemd: installed offline from the clone, asked, broken, upgraded, taken back, removed.

One machine for the whole file, in the order of a device's life. With `-m slow` the same on a newer systemd, and
the unit read by the oldest that is supported.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from debian_root import NoRootError, debian_root
from systemd_machine import Machine, obstacle

from tidegate.models.bundle import open_bundle
from tidegate.paths import profiles_directory
from tidegate.service import templates
from tidegate.service.places import system_places

ROOT = Path(__file__).parents[2]
SYSTEM_PYTHON = Path("/usr/bin/python3")
CAN_INSTALL = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"

ASK = """
import http.client, socket, sys
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/tidegate/tidegate.sock")
connection.request("POST", "/v2/models/digits/infer", sys.argv[1])
print(connection.getresponse().read().decode())
"""

CABLE = """
ip netns add other
ip link add cable type veth peer name eth0 netns other
ip address add 10.9.9.1/24 dev cable && ip link set cable up
ip -n other address add 10.9.9.2/24 dev eth0 && ip -n other link set eth0 up
"""
"""Another machine, 10.9.9.2, beside this one, 10.9.9.1."""

ACCEPTS = """
import pathlib, socket
with socket.create_server(("10.9.9.2", 1883)) as broker:
    broker.accept()
    pathlib.Path("/run/asked").touch()
"""

NAMES_OTHERS = """
import pathlib, re
file = pathlib.Path("/etc/tidegate/agent.yaml")
open_to_all = "tcp: %d, address: 0.0.0.0, token_file: token"
text = file.read_text()
text = re.sub("^listen: {(.*)}$", r"listen: {\\1, " + open_to_all % 8700 + "}", text, flags=re.MULTILINE)
file.write_text(text + "\\nweb: {" + open_to_all % 9464 + "}\\nbroker: {host: 10.9.9.2}\\n")
"""

ASK_FROM_ELSEWHERE = """
import socket, sys
for port in (8700, 9464):
    with socket.create_connection(("10.9.9.1", port), 2) as connection:
        connection.sendall(b"GET /v2/health/ready HTTP/1.1\\r\\nHost: 10.9.9.1\\r\\n\\r\\n")
        print(port, connection.recv(100).split()[1].decode())
"""

BROKEN = b"""
import sys


def main() -> None:
    if "run" in sys.argv:
        sys.exit("broken on purpose")
"""

BORROWS = b"""
import glob
import sys

sys.path.extend(glob.glob("/opt/tidegate/versions/*/lib/python3*/site-packages"))
"""

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True)
class Below:
    """What a machine is made of: a root, and the Python in it that installs; `binds` are where that comes from."""

    root: Path
    python: str
    version: str
    binds: Mapping[Path, str] = field(default_factory=dict)


def this_machine() -> Below:
    """Its Python is outside home directories, which the sandbox hides: the system's, else this one elsewhere."""
    if SYSTEM_PYTHON.exists() and not subprocess.run([SYSTEM_PYTHON, "-c", CAN_INSTALL], check=False).returncode:
        ask = [SYSTEM_PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        version = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
        return Below(Path("/"), str(SYSTEM_PYTHON), version)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Below(Path("/"), "/opt/python/bin/python3", version, {Path(sys.base_prefix): "/opt/python"})


@pytest.fixture(
    scope="module",
    params=["this machine's", pytest.param("trixie", marks=[pytest.mark.slow, pytest.mark.timeout(3000)])],
)
def below(request: pytest.FixtureRequest) -> Below:
    """Debian 13 (trixie) has systemd 257 and Python 3.13."""
    if (why := obstacle()) is not None:
        refuse(why)
    if request.param == "this machine's":
        return this_machine()
    return Below(other_root(request.param, "python3", "python3-venv", "iproute2"), str(SYSTEM_PYTHON), "3.13")


def other_root(release: str, *packages: str) -> Path:
    try:
        return debian_root(release, *packages)
    except NoRootError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory, below: Below) -> Path:
    """Folders to install from: `good` as ./install.sh wheels makes it; `newer` and `broken` differ in tidegate."""
    folder = tmp_path_factory.mktemp("wheels")
    here = below.python if below.root == Path("/") and not below.binds else sys.executable
    made = ("wheels", str(folder / "good"), "--python-version", below.version)
    command = [str(ROOT / "install.sh"), "--python", here, *made]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=550)
    assert done.returncode == 0, done.stderr
    # What they need is left out, so that they are installed in no time; the newer one takes it from the older one.
    none = {"tidegate/service/requirements.txt": lambda _: b"# none\n"}
    changed(folder, "newer", {"tidegate/__init__.py": lambda text: text + BORROWS, **none})
    changed(folder, "broken", {"tidegate/cli/entry.py": lambda _: BROKEN, **none})
    return folder


def refuse(why: str) -> None:
    """Skipped, with the reason, where the machine forbids it; in CI a package that is missing is a failure."""
    if os.environ.get("CI") == "true" and "not installed" in why:
        pytest.fail(f"no machine with systemd can be booted: {why}")
    pytest.skip(f"no machine with systemd can be booted: {why}")


def changed(folder: Path, name: str, edits: Mapping[str, Callable[[bytes], bytes]]) -> None:
    """A folder of the same wheels by hard links, and tidegate's with some files edited."""
    shutil.copytree(folder / "good", folder / name, copy_function=os.link)
    (wheel,) = (folder / name).glob("tidegate-*.whl")
    wheel.unlink()
    with zipfile.ZipFile(folder / "good" / wheel.name) as old, zipfile.ZipFile(wheel, "w") as new:
        assert edits.keys() <= set(old.namelist())
        for entry in old.infolist():
            new.writestr(entry, edits.get(entry.filename, bytes)(old.read(entry)))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, below: Below, wheels: Path) -> Iterator[Machine]:
    """Booted, with the clone, the wheels and two users: one in the group `tidegate`, one not."""
    binds = {ROOT: "/clone", wheels: "/wheels", **below.binds}
    with Machine(tmp_path_factory.mktemp("machine"), binds, below.python, below.root) as booted:
        yield booted


def install(machine: Machine, *arguments: str) -> str:
    """install.sh in the machine; what it says."""
    return machine.must("/clone/install.sh", "--python", machine.python, *arguments, timeout_s=550)


def current(machine: Machine) -> str:
    return machine.must("readlink", "/opt/tidegate/current").strip()


def ask(machine: Machine, user: str) -> subprocess.CompletedProcess[str]:
    """One image, over the Unix socket, with no tool of ours."""
    samples = open_bundle(profiles_directory() / "bundles/digits").samples()
    tensor = {"name": "image", "shape": [1, 1, 8, 8], "datatype": "UINT8", "data": samples.raw[0].ravel().tolist()}
    body = json.dumps({"inputs": [tensor]})
    return machine.run(machine.python, "-c", ASK, body, user=user)


def test_from_the_first_command_to_a_served_answer(machine: Machine) -> None:
    said = install(machine, "service", "--wheels", "/wheels/good")
    assert "20 of 20 canaries right" in said, said
    assert machine.must("systemctl", "is-active", "tidegate").strip() == "active"
    assert machine.must("systemctl", "is-enabled", "tidegate").strip() == "enabled"
    assert machine.must("find", "/opt/tidegate", "-path", "*/site-packages/torch") == ""


def test_the_group_may_ask_and_nobody_else(machine: Machine) -> None:
    machine.must("useradd", "--create-home", "member")
    machine.must("useradd", "--create-home", "stranger")
    machine.must("usermod", "--append", "--groups", "tidegate", "member")
    answered = ask(machine, "member")
    reply = json.loads(answered.stdout)
    labels = open_bundle(profiles_directory() / "bundles/digits").samples().labels
    assert labels is not None
    scores = reply["outputs"][0]["data"]
    assert scores.index(max(scores)) == labels[0]
    assert '"device":"' in machine.must("tidegate", "status", "--json", user="member")
    assert ask(machine, "stranger").returncode != 0
    assert machine.run("tidegate", "status", "--json", user="stranger").returncode == 69


def test_the_unit_is_understood_whole_and_exposes_little(machine: Machine) -> None:
    verified = machine.run("systemd-analyze", "verify", "--recursive-errors=no", "tidegate.service")
    assert (verified.returncode, verified.stdout) == (0, ""), verified.stdout
    machine.must("systemd-analyze", "security", "--threshold=10", "tidegate.service")
    # What the directives come to in the kernel.
    pid = machine.must("systemctl", "show", "--property", "MainPID", "--value", "tidegate").strip()
    status = dict(
        line.split(":\t", 1) for line in machine.must("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line
    )
    assert (status["CapEff"], status["NoNewPrivs"], status["Seccomp"]) == ("0000000000000000", "1", "2")
    assert status["Uid"].split()[0] != "0"


def test_again_changes_nothing_and_restarts_nothing(machine: Machine) -> None:
    def started() -> str:
        return machine.must("systemctl", "show", "--property", "MainPID,NRestarts", "tidegate")

    before = started()
    machine.must("sh", "-c", "echo '# mine' >> /etc/tidegate/agent.yaml")
    assert "20 of 20 canaries right" in install(machine, "service")
    assert started() == before
    assert machine.must("tail", "-n", "1", "/etc/tidegate/agent.yaml") == "# mine\n"


def ask_from_elsewhere(machine: Machine) -> str:
    """The state of endpoint and page as another machine sees it, or how it failed."""
    done = machine.run("ip", "netns", "exec", "other", machine.python, "-c", ASK_FROM_ELSEWHERE)
    return done.stdout.strip().splitlines()[-1] if done.returncode else done.stdout


def test_the_network_opens_for_what_agent_yaml_names_and_closes_behind_it(machine: Machine) -> None:
    machine.must("sh", "-e", "-c", CABLE)
    other = ("--property", "NetworkNamespacePath=/run/netns/other")
    machine.must("systemd-run", "--unit", "broker", *other, machine.python, "-c", ACCEPTS)
    machine.must("cp", "-p", "/etc/tidegate/agent.yaml", "/root/agent.yaml")
    machine.must("sh", "-c", "echo 0123456789abcdef > /root/token")
    machine.must("install", "-m", "600", "-o", "tidegate", "/root/token", "/etc/tidegate/token")
    machine.must(machine.python, "-c", NAMES_OTHERS)
    named = "listen.address 0.0.0.0, web.address 0.0.0.0, broker.host 10.9.9.2"
    way_out = "sudo /opt/tidegate/current/bin/python -m tidegate.service apply"

    checked = machine.must("tidegate", "config", "check")
    assert named in checked
    assert way_out in checked
    machine.must("systemctl", "restart", "tidegate")
    assert "timed out" in ask_from_elsewhere(machine)
    assert machine.run("test", "-e", "/run/asked").returncode == 1
    for command in (("doctor", "--config", "/etc/tidegate/agent.yaml", "--json"), ("reload",)):
        said = machine.run("tidegate", *command).stdout
        assert named in said, said
        assert way_out in said, said
    troubles = json.loads(machine.must("tidegate", "status", "--json"))["troubles"]
    assert [way_out in each["because"] for each in troubles if each["part"] == "network"] == [True]

    said = machine.must(*way_out.removeprefix("sudo ").split(), timeout_s=240)
    assert "the unit lets other machines in and out" in said
    assert ask_from_elsewhere(machine) == "8700 200\n9464 401\n"
    machine.must("timeout", "30", "sh", "-c", "until test -e /run/asked; do sleep 0.2; done")
    assert "network" not in machine.must("tidegate", "config", "check")
    troubles = json.loads(machine.must("tidegate", "status", "--json"))["troubles"]
    assert [each for each in troubles if each["part"] == "network"] == []

    machine.must("cp", "-p", "/root/agent.yaml", "/etc/tidegate/agent.yaml")
    install(machine, "apply")
    assert machine.must("systemctl", "show", "-P", "IPAddressDeny", "tidegate").split() != []
    assert machine.run("test", "-e", "/etc/systemd/system/tidegate.service.d/20-network.conf").returncode == 1


def test_litert_runs_in_what_the_unit_leaves_it(machine: Machine) -> None:
    machine.must("cp", "-p", "/etc/tidegate/agent.yaml", "/root/agent.yaml")
    machine.must("sh", "-c", "echo 'worker: {engine: litert}' >> /etc/tidegate/agent.yaml")
    machine.must("tidegate", "config", "check")
    machine.must("tidegate", "reload")
    assert json.loads(machine.must("tidegate", "status", "--json"))["engine"] == "litert"
    assert ask(machine, "member").returncode == 0
    machine.must("mv", "/root/agent.yaml", "/etc/tidegate/agent.yaml")
    machine.must("tidegate", "reload")


def test_a_killed_agent_comes_back(machine: Machine) -> None:
    machine.must("systemctl", "kill", "--signal", "KILL", "tidegate")
    machine.must(
        "timeout", "60", "sh", "-c", "until [ $(systemctl show -P NRestarts tidegate) = 1 ]; do sleep 0.2; done"
    )
    # Blocks until READY.
    machine.must("systemctl", "start", "tidegate")
    assert ask(machine, "member").returncode == 0


def test_a_bad_configuration_stops_it_with_a_reason_instead_of_a_loop(machine: Machine) -> None:
    machine.must("cp", "/etc/tidegate/agent.yaml", "/root/agent.yaml")
    machine.must("sh", "-c", "echo 'devise: gate' >> /etc/tidegate/agent.yaml")
    assert machine.run("systemctl", "restart", "tidegate").returncode != 0
    shown = machine.must("systemctl", "show", "--property", "ExecMainStatus,SubState", "tidegate")
    assert set(shown.split()) == {"ExecMainStatus=78", "SubState=failed"}
    assert "devise" in machine.must("journalctl", "--unit", "tidegate", "--lines", "20", "--output", "cat")
    machine.must("mv", "/root/agent.yaml", "/etc/tidegate/agent.yaml")
    machine.must("systemctl", "restart", "tidegate")


def test_an_upgrade_to_a_broken_version_comes_back_by_itself(machine: Machine) -> None:
    good = current(machine)
    failed = machine.run(
        "/clone/install.sh",
        "--python",
        machine.python,
        "upgrade",
        "--wheels",
        "/wheels/broken",
        "--trial",
        "2",
        timeout_s=550,
    )
    assert failed.returncode == 69, failed.stdout
    assert "broken on purpose" in failed.stdout
    assert f"{good} runs again: 20 of 20 canaries right" in failed.stdout
    assert current(machine) == good
    assert ask(machine, "member").returncode == 0
    assert "broken on purpose" in install(machine, "status")


def test_it_comes_back_when_nobody_watches_the_trial(machine: Machine) -> None:
    """The installation was killed after it had switched: the unit alone takes the link back."""
    good = current(machine)
    broken = next(name for name in machine.must("ls", "/opt/tidegate/versions").split() if name not in good)
    machine.must("sh", "-c", f"echo {good} > /opt/tidegate/trial; ln -sfn versions/{broken} /opt/tidegate/current")
    machine.run("systemctl", "restart", "tidegate")
    machine.must(
        "timeout", "60", "sh", "-c", f"until [ $(readlink /opt/tidegate/current) = {good} ]; do sleep 0.2; done"
    )
    machine.must("systemctl", "start", "tidegate")
    assert ask(machine, "member").returncode == 0
    assert machine.run("test", "-e", "/opt/tidegate/trial").returncode == 1


def test_an_upgrade_is_accepted_and_can_be_taken_back(machine: Machine) -> None:
    old = current(machine)
    said = install(machine, "upgrade", "--wheels", "/wheels/newer", "--trial", "2")
    new = current(machine)
    assert new != old
    assert f"{new} runs and answers: 20 of 20 canaries right" in said
    install(machine, "rollback")
    assert current(machine) == old
    assert ask(machine, "member").returncode == 0


def test_uninstall_leaves_nothing(machine: Machine) -> None:
    install(machine, "uninstall", "--keep-state")
    assert machine.run("test", "-e", "/etc/tidegate/agent.yaml").returncode == 0
    assert machine.run("test", "-e", "/var/lib/tidegate/session").returncode == 0
    install(machine, "uninstall")
    ours = machine.run("find", "/etc", "/opt", "/run", "/usr/local", "/var", "-xdev", "-iname", "*tidegate*")
    assert ours.stdout == ""
    assert machine.run("getent", "passwd", "tidegate").returncode == 2
    assert machine.run("getent", "group", "tidegate").returncode == 2
    assert machine.run("systemctl", "cat", "tidegate").returncode != 0


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_oldest_systemd_knows_every_directive(tmp_path: Path) -> None:
    """Debian 11 (bullseye) has systemd 247, and no Python that would do: the unit is read there, not run."""
    if (why := obstacle()) is not None:
        refuse(why)
    units = {
        "known": templates.unit(system_places("systemd"), password=True),
        "unknown": "[Service]\nExecStart=/bin/true\nNo=1\n",
    }
    with Machine(tmp_path / "machine", {}, "", other_root("bullseye")) as booted:
        assert booted.must("systemctl", "--version").startswith("systemd 247 ")
        for name, text in units.items():
            booted.path(f"/etc/systemd/system/{name}.service").write_text(text)
            said = booted.run("systemd-analyze", "verify", f"{name}.service").stdout.splitlines()
            # What it starts is not installed there, nor its user.
            strange = [line for line in said if f"{name}.service:" in line and "is not executable" not in line]
            assert bool(strange) is (name == "unknown"), said
