"""What of agent.yaml can't work since the unit keeps other machines away, and what to do about it."""

from dataclasses import dataclass
from pathlib import Path

from tidegate.config import AgentConfig
from tidegate.network.other_machines import OtherMachines, other_machines
from tidegate.network.unit_firewall import own_unit, unit_firewall
from tidegate.service.places import UNIT, system_places

PLACES = system_places("systemd")


@dataclass(frozen=True, slots=True)
class ShutOut:
    """`said` is what was found in a sentence; `way_out` what to do about it."""

    said: str
    way_out: str


def shut_out_of_service(config: AgentConfig, path: Path) -> ShutOut | None:
    """For the file of the machine's service; None where all may pass, or where systemd can't be asked."""
    others = other_machines(config)
    if not others:
        return None
    firewall = unit_firewall(UNIT)
    if firewall is None or not firewall.closed or firewall.config is None:
        return None
    return _told(UNIT, others) if firewall.config.resolve() == path.resolve() else None


def shut_out_of_this_process(config: AgentConfig) -> ShutOut | None:
    """For the agent itself, asked by the unit that it runs in; None as above, and outside of a unit."""
    others = other_machines(config)
    unit = own_unit() if others else None
    firewall = None if unit is None else unit_firewall(unit)
    return _told(unit, others) if unit is not None and firewall is not None and firewall.closed else None


def _told(unit: str, others: tuple[OtherMachines, ...]) -> ShutOut:
    named = ", ".join(f"{each.key} {each.address}" for each in others)
    said = f"{unit} lets nothing in from other machines and nothing out to them, as {named} would need"
    if unit == UNIT and PLACES.current.exists():
        return ShutOut(said, f"sudo {PLACES.current}/bin/python -m tidegate.service apply")
    return ShutOut(
        said, f"sudo systemctl edit {unit}: [Service], below it an empty IPAddressDeny=; then restart it"
    )
