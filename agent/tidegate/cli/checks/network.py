"""Whether the service's unit lets through what agent.yaml has to do with other machines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tidegate.cli.checks.check import Check
from tidegate.config import AgentConfig
from tidegate.network.shut_out import shut_out_of_service


def check_unit(config: AgentConfig, path: Path, verdict: Literal["warning", "fault"]) -> Iterator[Check]:
    """Of this judgement where it does not; nothing where it does, or where no unit starts with this file."""
    if (found := shut_out_of_service(config, path)) is not None:
        yield Check("network", verdict, found.said, found.way_out)
