"""Every block of shell commands in the docs is run, here or elsewhere, or says why not.

The line before a block says which, in a comment that readers don't see:

- `run`: its `tidegate` commands are run here, one after the other, against an agent called gate-7 and its broker.
  A ``run: without `scp`, since ...`` leaves out the lines that begin so.
- `ask`: it is a question to that agent, asked in a shell where its socket is, and answered by an operating point.
- `run by: tests/..., tests/...`: those tests do what it says.
- `not run: ...`: the reason.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from agent_process import BUNDLE, PLAIN_POLICY, AgentProcess
from documented_commands import ROOT, Commands, commands_of
from here import tidegate_here

from tidegate.fleet import listener
from tidegate.fleet.broker import LocalBroker

StartAgent = Callable[..., AgentProcess]

NEWCOMER = ROOT / "docs" / "getting-started.md"
"""The whole page is run by test_getting_started.py."""

README = {
    "./install.sh demo": "run by: tests/system/test_getting_started.py",
    "sudo ./install.sh service": "run by: tests/system/test_service_on_systemd.py",
    "cat > agent.yaml": "not run: the agent stays in the foreground; docs/getting-started.md has it, and is run",
    "curl --unix-socket": "ask",
    "./install.sh run -- status": "run: without `policy push`, since mqtt.example.org is nobody's",
}
"""Marks of README's blocks by their beginnings: that page is read as it stands in more places than the others."""

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCKS = [block for page in PAGES if page != NEWCOMER for block in commands_of(page)]


def mark_of(block: Commands) -> str:
    if block.page.name == "README.md":
        return next((mark for begins, mark in README.items() if block.text.startswith(begins)), "")
    return block.mark


def fault_of(block: Commands) -> str:
    kind, _, said = mark_of(block).partition(":")
    match kind, said.strip():
        case "run", without:
            left_out = re.findall(r"`([^`]+)`", without)
            return "" if not without or (left_out and "since" in without) else "what is left out, and since when"
        case "ask", "":
            return ""
        case "run by", tests:
            return "; ".join(f"there is no {test}" for test in tests.split(", ") if not (ROOT / test).is_file())
        case "not run", reason:
            return "" if len(reason) > 10 else "not run without a reason"
        case _:
            return "no mark: run, run by: FILE, or not run: REASON in a comment on the line before"


def lines_to_run(block: Commands) -> Iterator[str]:
    left_out = tuple(re.findall(r"`([^`]+)`", mark_of(block)))
    for line in block.text.replace("\\\n", " ").splitlines():
        command = re.sub(r"^(\$ )?(\./install\.sh run -- )?(tidegate )?", "", line)
        if line.strip() and not command.startswith(left_out or ("#",)):
            assert re.match(r"(\$ )?(\./install\.sh run -- |tidegate )", line), (
                f"{block.place}: {line!r} is no tidegate"
            )
            yield command


def test_every_block_says_how_it_is_run() -> None:
    assert len(BLOCKS) > 20
    assert [f"{block.place}: {fault}" for block in BLOCKS if (fault := fault_of(block))] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_command_hides_in_a_block_without_a_language(page: Path) -> None:
    commands = r"(\$ )?(tidegate|\./install\.sh|sudo|make|pip|curl|git|ssh|scp) "
    indented = re.findall(rf"^    {commands}.*$", page.read_text(), re.MULTILINE)
    fenced = re.findall(rf"^```\n{commands}.*$", page.read_text(), re.MULTILINE)
    assert indented + fenced == []


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("", "no mark"),
        ("walk", "no mark"),
        ("not run:", "without a reason"),
        ("run by: tests/no_such_test.py", "there is no"),
        ("run: without scp", "left out"),
    ],
)
def test_a_mark_that_says_nothing_is_found(mark: str, words: str) -> None:
    assert words in fault_of(Commands(ROOT / "docs" / "x.md", 1, "true\n", mark))


@pytest.mark.broker
def test_what_is_marked_as_run_runs(
    start_agent: StartAgent, broker: LocalBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_QUIET_S", 0.25)
    brief_trial = {"tidegate.supervisor.app.TRIAL_S": 2.0}
    agent = start_agent(broker, constants=brief_trial, device="gate-7", groups=["barn", "north"])
    agent.wait_until(lambda status: status.telemetry.link == "online")
    desk = tmp_path / "desk"
    desk.mkdir()
    monkeypatch.chdir(desk)
    (desk / "profiles").symlink_to(ROOT / "profiles")
    (desk / "agent.yaml").symlink_to(agent.config)
    shutil.copytree(BUNDLE, desk / "digits")
    for name, version in (("night", 12), ("policy", 1), ("P", 1), ("Q", 1)):
        text = PLAIN_POLICY.replace("plain", name).replace("version: 1", f"version: {version}")
        (desk / f"{name}.yaml").write_text(text)
    for key in ("qa", "new"):
        assert tidegate_here("key", "new", key).returncode == 0
    here = {
        "broker.local": f"127.0.0.1:{broker.port}",
        "/etc/tidegate/agent.yaml": str(agent.config),
        "/srv/www/digits": str(desk),
        "--listen 15": "--listen 2",
    }
    asks_an_agent = ("key trust", "reload", "status", "policy trusted")
    asks_a_broker = ("fleet status",)
    ran = []
    for block in BLOCKS:
        if mark_of(block) == "ask":
            asked = subprocess.run(
                ["bash", "-e", "-c", block.text], cwd=agent.directory, capture_output=True, text=True, check=False
            )
            assert asked.returncode == 0, f"{block.place}: {asked.stderr}"
            assert '"operating_point"' in asked.stdout, f"{block.place}: {asked.stdout}"
            ran.append(block.text)
        if not mark_of(block).startswith("run") or mark_of(block).startswith("run by"):
            continue
        for line in lines_to_run(block):
            command = line
            for written, real in here.items():
                command = command.replace(written, real)
            words = shlex.split(command, comments=True)
            if line.startswith(asks_an_agent) and "--config" not in words:
                words += ["--config", str(agent.config)]
            if line.startswith(asks_a_broker) and "--broker" not in words:
                words += ["--broker", here["broker.local"]]
            if line.startswith("key new"):
                (desk / f"{words[2]}.key").unlink(missing_ok=True)
                (desk / f"{words[2]}.pub").unlink(missing_ok=True)
            done = tidegate_here(*words)
            assert done.returncode == 0, f"{block.place}: {line}\nended with {done.returncode}: {done.stderr}"
            ran.append(line)
    assert len(ran) > 15
    later = desk / "later.yaml"
    later.write_text(PLAIN_POLICY.replace("version: 1", "version: 13"))
    told = tidegate_here(
        *("policy", "push", later, "--group", "barn", "--key", "ops.key", "--json"),
        *("--broker", here["broker.local"]),
    )
    assert told.returncode == 0, told.stderr
    verdict = json.loads(told.stdout)
    assert (verdict["accepted"], verdict["refused"], verdict["silent"]) == (["gate-7"], {}, {})
