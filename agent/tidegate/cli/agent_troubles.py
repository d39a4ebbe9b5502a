"""What the running agent says is wrong around it, and what comes of the frames that it fetches."""

from dataclasses import dataclass
from pathlib import Path

from tidegate.cli.running_agent import ask_status
from tidegate.config import load_config
from tidegate.errors import TidegateError
from tidegate.messages import Served
from tidegate.supervisor.status.troubles import Trouble


@dataclass(frozen=True, slots=True)
class AgentTroubles:
    """An agent's troubles; `unasked` is why it could not be asked, empty where it was.

    `served` is its last window, None where nothing is counted yet.
    """

    troubles: tuple[Trouble, ...] = ()
    unasked: str = ""
    served: Served | None = None


def ask_agent(config: Path, state_dir: Path | None) -> AgentTroubles:
    """Ask the agent of a state directory, or of a configuration where that is None; takes seconds at most."""
    try:
        directory = load_config(config).state_dir if state_dir is None else state_dir
        status = ask_status(directory)
        return AgentTroubles(status.troubles, served=status.served)
    except TidegateError as error:
        return AgentTroubles(unasked=str(error))
