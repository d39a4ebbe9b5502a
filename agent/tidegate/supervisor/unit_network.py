"""Whether the agent's own unit lets through what its configuration has to do with other machines."""

from collections.abc import Callable

from tidegate.config import AgentConfig
from tidegate.network.shut_out import shut_out_of_this_process


class UnitNetwork:
    """Asks systemd once for each configuration: a unit's firewall changes with a restart."""

    def __init__(self, config: Callable[[], AgentConfig]) -> None:
        self._config = config
        self._asked: AgentConfig | None = None
        self._because: str | None = None

    def look(self) -> str | None:
        """What can't work, with the way out; None where nothing is shut out. May wait for systemd."""
        config = self._config()
        if config is not self._asked:
            found = shut_out_of_this_process(config)
            self._asked, self._because = config, None if found is None else f"{found.said}; {found.way_out}"
        return self._because
