"""Whether systemd keeps a unit from other machines: IPAddressDeny= and IPAddressAllow=, as they are loaded."""

import re
import subprocess
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

ASK_S = 10.0
_PROPERTIES = "LoadState,ExecStart,IPAddressDeny,IPAddressAllow"
CONTROL_GROUP = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class UnitFirewall:
    """`config` is the file that the unit starts with; `closed`: no other machine may ask it or be asked by it."""

    config: Path | None
    closed: bool


def unit_firewall(unit: str) -> UnitFirewall | None:
    """What systemd says of a unit, which it takes a bus to ask; None where there is no such unit, or no answer."""
    command = ["systemctl", "show", f"--property={_PROPERTIES}", "--", unit]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=ASK_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else read_properties(done.stdout)


def read_properties(shown: str) -> UnitFirewall | None:
    """What `systemctl show` printed; None for a unit that is not loaded. systemd.resource-control(5)."""
    found = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    if found.get("LoadState") != "loaded":
        return None
    denied, allowed = (found.get(name, "").split() for name in ("IPAddressDeny", "IPAddressAllow"))
    # Where one of IPv4 and IPv6 is open, others can ask and be asked.
    shut = {net.version for each in denied if (net := ip_network(each, strict=False)).prefixlen == 0}
    others = any(not ip_network(each, strict=False).is_loopback for each in allowed)
    config = re.search(r" --config (\S+)", found.get("ExecStart", ""))
    return UnitFirewall(None if config is None else Path(config[1]), closed=shut == {4, 6} and not others)


def own_unit() -> str | None:
    """The system's unit that this process runs in; None outside of one. cgroups(7)."""
    try:
        groups = CONTROL_GROUP.read_text().splitlines()
    except OSError:
        return None
    # The hierarchy that is systemd's own: the unified one, or the named one beside the old ones.
    paths = [line.split(":", 2)[2] for line in groups if line.startswith(("0::", "1:name=systemd:"))]
    names = [path.rsplit("/", 1)[-1] for path in paths if "/user@" not in path]
    return next((name for name in names if name.endswith(".service")), None)
