"""How the command line ends where the service begins."""

import os
from typing import NoReturn

from tidegate import child


def become_service(*config: str) -> NoReturn:
    """Go on as the service of that agent.yaml; without one, of the default place's.

    The same process under another program: what the command line imported would stay in memory for months.
    """
    command = child.independent_command("tidegate.supervisor", *config)
    os.execve(command[0], command, child.service_environment())  # noqa: S606 - no shell
