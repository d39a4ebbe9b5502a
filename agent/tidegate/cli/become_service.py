"""How the command line ends where the service begins."""

import os
from typing import NoReturn

from tidegate import child

LEAN = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "131072", "PYTHONNODEBUGRANGES": "1"}
"""Read at a process's start: its threads, which mostly wait, share one heap, whose free end goes back to the
system (glibc's mallopt(3)), and code keeps lines but no columns for tracebacks."""
NO_PLUGINS = {"PYDANTIC_DISABLE_PLUGINS": "__all__"}
"""The search for pydantic's plugins reads about every installed package."""


def become_service(*config: str) -> NoReturn:
    """Go on as the service of that agent.yaml; without one, of the default place's.

    The same process under another program: what the command line imported would stay in memory for months.
    """
    command = child.independent_command("tidegate.supervisor", *config)
    os.execve(command[0], command, child.environment(**LEAN, **NO_PLUGINS))  # noqa: S606 - no shell
