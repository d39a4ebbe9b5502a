"""The drop-in that opens the network, by what agent.yaml says when the step is executed."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tidegate.service import templates
from tidegate.service.steps import Directory, Gone, TextFile, run

ASK_S = 120.0
KEY = re.compile(r"[a-z_.]+(\[\d+\][a-z_.]*)?")


@dataclass(frozen=True, slots=True)
class NetworkDropIn:
    """There where `config`, read by the `version` that is to serve, names other machines; else not there.

    Nothing changes where that can't be told: the file is not valid, and then the service says so at its start.
    """

    path: Path
    version: Path
    config: Path

    def __str__(self) -> str:
        asked = " ".join(self._question)
        return f"write {self.path} if `{asked}` names other_machines, else remove it"

    @property
    def _question(self) -> tuple[str, ...]:
        return (str(self.version / "bin/tidegate"), "config", "check", "--json", str(self.config))

    def execute(self) -> None:
        """Ask and write. Raises ServiceError when nobody can be asked."""
        said, _ = run(self._question, ASK_S)
        keys = named_keys(said)
        if keys is None:
            return
        if keys:
            Directory(self.path.parent).execute()
            TextFile(self.path, templates.network_drop_in(keys)).execute()
        else:
            Gone(self.path).execute()


def named_keys(said: str) -> tuple[str, ...] | None:
    """The keys in what `config check --json` said; None where it holds none, as of an older version."""
    try:
        found = json.JSONDecoder().raw_decode(said[said.index("{") :])[0]["other_machines"]
        keys = tuple(each["key"] for each in found)
    except (ValueError, KeyError, TypeError):
        return None
    # They become comments in a file of root's.
    return tuple(key for key in keys if isinstance(key, str) and KEY.fullmatch(key))
