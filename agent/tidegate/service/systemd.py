"""What is asked of systemd."""

from pathlib import Path

from tidegate.service import templates
from tidegate.service.devices import Devices
from tidegate.service.network_drop_in import NetworkDropIn
from tidegate.service.places import UNIT, Places
from tidegate.service.steps import Command, Directory, Gone, Step, TextFile

BOOTED = Path("/run/systemd/system")
"""There when systemd is what runs the machine: sd_booted(3)."""

ASK_S = 30.0
START_S = 240.0
"""Above TimeoutStopSec and TimeoutStartSec of the unit together."""
STOP_S = 60.0


def systemctl(places: Places, *arguments: str) -> tuple[str, ...]:
    """A systemctl command line."""
    return ("systemctl", *(("--user",) if places.user else ()), *arguments)


def journal(places: Places) -> tuple[str, ...]:
    """What the unit said last."""
    which = "--user-unit" if places.user else "--unit"
    return ("journalctl", which, UNIT, "--lines", "15", "--no-pager", "--output", "cat")


def account(places: Places) -> list[Step]:
    """The user and group of the unit."""
    file = places.account
    return [TextFile(file, templates.account()), Command(("systemd-sysusers", str(file)), ASK_S)]


def opened(places: Places, found: Devices) -> list[Step]:
    """A drop-in and a rule for what is there, else neither is; a user's own manager can't open anything."""
    if places.user:
        return []
    return [*_drop_in(places, found), *_rules(places, found)]


def _drop_in(places: Places, found: Devices) -> list[Step]:
    if not found.nodes:
        return [Gone(places.device_drop_in)]
    return [Directory(places.drop_ins), TextFile(places.device_drop_in, templates.device_drop_in(found.nodes))]


def _rules(places: Places, found: Devices) -> list[Step]:
    if not found.rapl:
        return [Gone(places.udev_rules)]
    return [
        TextFile(places.udev_rules, templates.udev_rules()),
        # Where no udev runs, in a container, the counters stay as they are.
        Command(("udevadm", "control", "--reload"), ASK_S, may_fail=True),
        Command(("udevadm", "trigger", "--subsystem-match=powercap", "--action=add"), ASK_S, may_fail=True),
    ]


def network(places: Places, version: Path) -> list[Step]:
    """A drop-in where agent.yaml names other machines; a user's own manager shuts nobody out."""
    return [] if places.user else [NetworkDropIn(places.network_drop_in, version, places.config)]


def start(places: Places) -> list[Step]:
    """Read the unit anew, enable and restart; systemctl returns when it is READY."""
    return [
        Command(systemctl(places, "daemon-reload"), ASK_S),
        Command(systemctl(places, "enable", "--quiet", UNIT), ASK_S),
        # A start limit that an earlier version ran into is not held against this one.
        Command(systemctl(places, "reset-failed", UNIT), ASK_S, may_fail=True),
        Command(systemctl(places, "restart", UNIT), START_S, last_words=journal(places)),
    ]


def stop(places: Places) -> list[Step]:
    """Stop and disable; a unit that is not there is stopped."""
    return [
        Command(systemctl(places, "stop", UNIT), STOP_S, may_fail=True),
        Command(systemctl(places, "disable", "--quiet", UNIT), ASK_S, may_fail=True),
    ]


def forget(places: Places) -> list[Step]:
    """Without the unit's file."""
    return [
        Command(systemctl(places, "daemon-reload"), ASK_S, may_fail=True),
        Command(systemctl(places, "reset-failed", UNIT), ASK_S, may_fail=True),
    ]


def forget_account(places: Places) -> list[Step]:
    """No user of ours is left; userdel leaves a group that has other members."""
    return [
        Command(("userdel", "tidegate"), ASK_S, may_fail=True),
        Command(("groupdel", "tidegate"), ASK_S, may_fail=True),
        Gone(places.account),
        Gone(places.udev_rules),
    ]
