"""agent.yaml as a file: read, with paths made absolute against it."""

import os
from pathlib import Path

from tidegate.boards import Profile, find_profile, ready_profiles
from tidegate.config.agent_config import AgentConfig
from tidegate.config.values import BASE
from tidegate.documents import WHOLE, DocumentError, Mark, Problem, parse, read, validate
from tidegate.paths import user_directory

DEFAULT_CONFIG = Path("/etc/tidegate/agent.yaml")


def load_config(path: Path) -> AgentConfig:
    """The configuration in a file, paths made absolute against it. Raises DocumentError when it is not valid."""
    if path == DEFAULT_CONFIG and not path.exists():
        hint = "name the agent's with --config FILE; `tidegate config check` takes FILE alone"
        problem = Problem(WHOLE, "", "there is no configuration in the default place", hint=hint)
        raise DocumentError(str(path), "", [problem])
    return config_in(read(path), path)


def config_in(text: str, path: Path) -> AgentConfig:
    """The configuration in the text of a file at `path`. Raises DocumentError when it is not valid."""
    document = parse(text, str(path))
    config = validate(document, AgentConfig, {BASE: path.resolve().parent})
    config._document = document  # noqa: SLF001 - its own package
    return config


def state_dir_in(path: Path) -> Path | None:
    """The state directory that a file names, whatever else is wrong in it; None where it can't be told."""
    try:
        value = parse(read(path), str(path)).value
    except DocumentError:
        return None
    if not isinstance(value, dict):
        return None
    named = value.get("state_dir")
    if named is None:
        return user_directory("state")
    if not isinstance(named, str) or "\0" in named:
        return None
    return Path(os.path.normpath(path.resolve().parent / named))


def board_profile(config: AgentConfig) -> Profile | None:
    """The profile that `board` names; None without one. Raises DocumentError that says where it is named."""
    if config.board is None:
        return None
    try:
        return find_profile(config.board)
    except DocumentError as error:
        document = config._document  # noqa: SLF001 - its own package
        if document is None:
            raise
        first = error.problems[0]
        said = f"{first.path}: {first.message}" if first.path else first.message
        where = f"{first.mark.within(error.name)}: {said}"
        more = "" if len(error.problems) == 1 else f" and {len(error.problems) - 1} more"
        mark = document.marks.get(("board",), Mark(1, 1))
        found = document.sources.get(("board",), config.board)
        allowed = f"a path to a valid board profile, or one of {', '.join(ready_profiles())}"
        problem = Problem(
            mark, "board", "the board's profile can't be used", found, allowed, first.nearest, f"{where}{more}"
        )
        raise DocumentError(document.name, document.text, [problem]) from None
