"""What the agent sets on a device is put back: when it ends, and after SIGKILL by the next one, over a tree."""

import sys
import time
from pathlib import Path

from agent_process import PLAIN_POLICY, AgentProcess

from tidegate_drivers.testing import device_tree

CPU = "sys/devices/system/cpu/cpufreq"
TREE = "sys/firmware/acpi/platform_profile: balanced\n"
TREE += "sys/firmware/acpi/platform_profile_choices: low-power balanced\n"
for number in (0, 4):
    TREE += f"{CPU}/policy{number}/scaling_governor: schedutil\n"
    TREE += f"{CPU}/policy{number}/scaling_available_governors: schedutil powersave\n"
BEFORE = {"schedutil", "balanced"}

RUN = """
import asyncio, logging, sys
from pathlib import Path
from tidegate.config import load_config
from tidegate.supervisor.main import run_agent
logging.basicConfig(level=logging.INFO)
asyncio.run(run_agent(load_config(Path(sys.argv[1])), sysroot=Path(sys.argv[2])))
"""


class AgentOnTree(AgentProcess):
    """An agent that finds a tree in place of this machine's /sys and /proc."""

    def command(self) -> list[str]:
        """The service itself, without the command line: only there the root can be given."""
        return [sys.executable, "-c", RUN, str(self.config), str(self.directory / "root")]

    def wait_set(self, values: set[str]) -> None:
        """Return once the tree's settings are these."""
        root, deadline = self.directory / "root", time.monotonic() + 20
        while time.monotonic() < deadline:
            files = [*root.glob(f"{CPU}/*/scaling_governor"), root / "sys/firmware/acpi/platform_profile"]
            found = {file.read_text().strip() for file in files}
            if found == values:
                return
            time.sleep(0.05)
        raise AssertionError(f"{found} instead of {values}\n{self.log()}")


def test_settings_end_with_the_agent_and_a_killed_one_leaves_none(tmp_path: Path) -> None:
    device_tree.write(device_tree.parse(TREE), tmp_path / "root")
    wants = "default: {use: full, controls: {cpu_governor: powersave, platform_profile: low-power}}"
    (tmp_path / "policy.yaml").write_text(PLAIN_POLICY.replace("default: {use: full}", wants))
    agent = AgentOnTree(tmp_path, None, {"controls": ["cpu_governor", "platform_profile"]})
    try:
        agent.start()
        agent.wait_set({"powersave", "low-power"})
        assert agent.end() == 0
        agent.wait_set(BEFORE)
        agent.start()
        agent.wait_set({"powersave", "low-power"})
        agent.kill()
        agent.wait_set({"powersave", "low-power"})
        # The owner takes the permission back: what the killed agent left is put back all the same.
        agent = AgentOnTree(tmp_path, None, {})
        agent.start()
        agent.wait_set(BEFORE)
        said = [str(event["text"]) for event in agent.status().recent if event["kind"] == "control"]
    finally:
        agent.end()
    assert sorted(said) == [
        "cpu_governor is as it was: an earlier run had left it set",
        "cpu_governor is left alone: the policy wants it, agent.yaml does not list it under `controls`",
        "platform_profile is as it was: an earlier run had left it set",
        "platform_profile is left alone: the policy wants it, agent.yaml does not list it under `controls`",
    ]
