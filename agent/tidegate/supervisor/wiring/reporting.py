"""What reports: the journal and the spool behind it, the link to the broker, and what does not work."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from tidegate.config import AgentConfig
from tidegate.supervisor.broker_link import BrokerLink
from tidegate.supervisor.events.journal import Journal, Observer
from tidegate.supervisor.opened import Opened
from tidegate.supervisor.status.spool_counts import SpoolCounts
from tidegate.supervisor.status.troubles import Troubles, trouble_with_directory
from tidegate.telemetry.device import Device
from tidegate.telemetry.heard import Heard


@dataclass(frozen=True, slots=True)
class Reporting:
    """`journal` writes rows into the spool, `link` publishes them as `device`; `heard` counts what arrives."""

    device: Device
    link: BrokerLink
    journal: Journal
    spool_counts: SpoolCounts
    troubles: Troubles
    heard: Heard


def wire_reporting(config: AgentConfig, opened: Opened, observers: Sequence[Observer]) -> Reporting:
    """The link has no broker yet. `observers` are told of every event."""
    spool = opened.spool
    heard = Heard()
    link = BrokerLink(spool, config.state_dir / "data_budget", heard)
    device = Device(config.device, config.groups, opened.session)
    journal = Journal(device.topics, spool, link.wake, observers)
    troubles = Troubles(journal.emit)
    troubles.watch("state directory", partial(trouble_with_directory, config.state_dir))
    troubles.watch("spool", lambda: spool.problem)
    troubles.watch("broker", lambda: link.problem)
    return Reporting(device, link, journal, SpoolCounts(spool), troubles, heard)
