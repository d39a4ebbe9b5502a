"""The files that an installation writes, from templates beside this module."""

import json
from collections.abc import Sequence
from pathlib import Path
from string import Template

from tidegate.service.broker_url import BrokerAddress
from tidegate.service.devices import Node
from tidegate.service.places import UNIT, Places

FOLDER = Path(__file__).parent / "templates"

PASSWORD_CREDENTIAL = "broker-password"  # noqa: S105 - the credential's name

BROKER_UNKNOWN = "# broker: {host: mqtt-host, port: 1883, username: me, password_file: broker-password}"


def text(name: str, **values: object) -> str:
    """A template with its `$names` filled in."""
    return Template((FOLDER / name).read_text()).substitute({key: str(value) for key, value in values.items()})


def trial_ended() -> str:
    """The script that takes the link back; it holds shell variables and nothing to fill in."""
    return (FOLDER / "trial-ended").read_text()


def account() -> str:
    """The sysusers.d(5) file."""
    return (FOLDER / "sysusers.conf").read_text()


def device_drop_in(nodes: Sequence[Node]) -> str:
    """Opens these device nodes, and no other."""
    lines = [f"DeviceAllow={node.path} rw" for node in nodes]
    # By number: the name may be missing, and a group that systemd can't find keeps the service from starting.
    groups = sorted({node.group_id for node in nodes if node.group_id is not None})
    lines += [f"SupplementaryGroups={group}" for group in groups]
    return text("devices.conf", nodes="\n".join(lines))


def udev_rules() -> str:
    """Opens RAPL's counters."""
    return (FOLDER / "rapl.rules").read_text()


def network_drop_in(keys: Sequence[str]) -> str:
    """Opens the network to the service, for these keys of agent.yaml."""
    return text("network.conf", keys="\n".join(f"#   {key}" for key in keys))


def unit(places: Places, *, password: bool) -> str:
    """systemd's unit, which keeps to this machine."""
    known = {"current": places.current, "config": places.config, "prefix": places.prefix, "unit": UNIT}
    if places.user:
        return text("tidegate.user.service", **known)
    credentials = (
        "# Root's file, handed to this service alone; agent.yaml names it under /run/credentials.\n"
        f"LoadCredential={PASSWORD_CREDENTIAL}:{places.password}"
        if password
        else "# No password was named at installation, so there is no LoadCredential=."
    )
    return text("tidegate.service", **known, credentials=credentials)


def agent_yaml(places: Places, *, device: str, password: bool, broker: BrokerAddress | None) -> str:
    """A commented agent.yaml."""
    told = BROKER_UNKNOWN
    if broker is not None:
        file = None
        if password and places.manager == "systemd" and not places.user:
            file = f"/run/credentials/{UNIT}/{PASSWORD_CREDENTIAL}"
        elif password:
            file = places.password.name
        told = f"broker: {broker.as_yaml(file)}"
    access = "Yours alone." if places.user else "Members of the group `tidegate` may ask."
    return text(
        "agent.yaml",
        device=device,
        bundle=json.dumps(str(places.bundle)),
        state_dir=json.dumps(str(places.state_dir)),
        socket=json.dumps(str(places.socket)),
        broker=told,
        access=access,
        reload=reload_command(places),
    )


def reload_command(places: Places) -> str:
    """What a user types after a change of agent.yaml."""
    if places.manager == "launchd":
        return "launchctl kickstart -k, or ./install.sh service again"
    return "systemctl --user reload tidegate" if places.user else "sudo systemctl reload tidegate"
