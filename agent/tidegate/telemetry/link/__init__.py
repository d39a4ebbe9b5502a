"""The MQTT link: one device's connection to its broker, opened again for as long as the agent runs."""

from tidegate.telemetry.link.link import Link, LinkCounters, LinkState

__all__ = ["Link", "LinkCounters", "LinkState"]
